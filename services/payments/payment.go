package payments

import (
	"time"

	"lonja/events"
	"lonja/events/query"
	"lonja/kit/decider"
)

// payment is the state that decisions about a payment are made on. Its status
// is one of query's, or "" when nobody has heard of it. One that was voided
// before anything was asked for has no request.
type payment struct {
	request events.PaymentRequested
	status  string
}

var paymentKind = decider.EntityType[payment]{Subject: "events.payment", Stream: "PAYMENTS", Evolve: evolve}

func evolve(p payment, event events.Event, _ time.Time) payment {
	if e, ok := event.(events.PaymentRequested); ok {
		p.request = e
	}
	p.status = query.PaymentStatusAfter(event)
	return p
}

// asked reports whether the money was ever asked for.
func (p payment) asked() bool { return p.request.PaymentID != "" }
