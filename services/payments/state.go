package payments

import (
	"time"

	"lonja/events"
	"lonja/events/query"
	"lonja/kit/decider"
)

// payment is the state of one payment, on which everything about it is decided. Its status
// is one of query's, or "" when it has no events. A payment that was voided before it was
// requested has no request.
type payment struct {
	request events.PaymentRequested
	status  string
}

var paymentType = decider.EntityType[payment]{Subject: "events.payment", Stream: "PAYMENTS", Evolve: evolve}

func evolve(p payment, event events.Event, _ time.Time) payment {
	if e, ok := event.(events.PaymentRequested); ok {
		p.request = e
	}
	p.status = query.PaymentStatusAfter(event)
	return p
}

// requested reports whether the money was ever requested.
func (p payment) requested() bool { return p.request.PaymentID != "" }
