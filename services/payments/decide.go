package payments

import (
	"lonja/events"
	"lonja/events/query"
	"lonja/kit/errs"
)

// What a provider may report. Its own command, such as the sandbox's settle,
// leads to one of these.

// capture records that the provider has the money, even when it comes late:
// after the deadline the order may still take it, after its cancellation not.
func capture(p payment) (events.Event, error) {
	r := p.request
	switch p.status {
	case query.PaymentPending, query.PaymentExpired:
		return events.PaymentCaptured{PaymentID: r.PaymentID, OrderID: r.OrderID, Amount: r.Amount}, nil
	case query.PaymentVoided:
		return events.PaymentCaptured{PaymentID: r.PaymentID, OrderID: r.OrderID, Amount: r.Amount, Unwanted: true}, nil
	case query.PaymentCaptured, query.PaymentRefunded:
		return nil, nil
	}
	return nil, errs.New(errs.Conflict, "the payment is %s", p.status)
}

// decline records that the provider will not give the money.
func decline(p payment) (events.Event, error) {
	switch p.status {
	case query.PaymentPending:
		return events.PaymentDeclined{PaymentID: p.request.PaymentID, OrderID: p.request.OrderID}, nil
	case query.PaymentDeclined:
		return nil, nil
	}
	return nil, errs.New(errs.Conflict, "the payment is %s", p.status)
}
