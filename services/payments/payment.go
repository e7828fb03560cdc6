package payments

import (
	"time"

	"lonja/events"
	"lonja/events/query"
	"lonja/internal/decider"
)

// payment is the state that decisions about a payment are made on. Its status
// is one of query's, or "" when nobody has heard of it. One that was voided
// before anything was asked for has no request.
type payment struct {
	request events.PaymentRequested
	status  string
}

var paymentKind = decider.Kind[payment]{Name: "payment", Stream: "PAYMENTS", Evolve: evolve}

func evolve(p payment, fact events.Event, _ time.Time) payment {
	if e, ok := fact.(events.PaymentRequested); ok {
		p.request = e
	}
	p.status = statusAfter(fact)
	return p
}

// statusAfter is the status that a payment's fact leads to, whatever it was.
func statusAfter(fact events.Event) string {
	switch fact.(type) {
	case events.PaymentRequested:
		return query.PaymentPending
	case events.PaymentCaptured:
		return query.PaymentCaptured
	case events.PaymentDeclined:
		return query.PaymentDeclined
	case events.PaymentExpired:
		return query.PaymentExpired
	case events.PaymentVoided:
		return query.PaymentVoided
	case events.PaymentRefunded:
		return query.PaymentRefunded
	}
	return ""
}

// asked reports whether the money was ever asked for.
func (p payment) asked() bool { return p.request.PaymentID != "" }
