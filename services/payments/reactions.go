package payments

import (
	"time"

	"lonja/events"
	"lonja/events/query"
	"lonja/kit/decider"
)

// request asks for the money of an order that awaits it, until a deadline. Nobody
// is asked for nothing: an order that costs nothing goes on without it.
func request(deadline time.Duration) func(payment, events.OrderAwaitingPayment, decider.Meta) (events.Event, error) {
	return func(p payment, e events.OrderAwaitingPayment, m decider.Meta) (events.Event, error) {
		if p.status != "" || e.Amount.Amount == 0 {
			return nil, nil
		}
		id := events.PaymentFor(e.OrderID)
		return events.PaymentRequested{PaymentID: id, OrderID: e.OrderID, Amount: e.Amount,
			Provider: sandbox, URL: sandboxURL(id), ExpiresAt: m.Now.Add(deadline)}, nil
	}
}

// withdraw gives a cancelled order's money back. Where none came it records
// that none is wanted: a capture may still be on its way, or the order's command
// for money, which may arrive after its cancellation.
func withdraw(p payment, e events.OrderCancelled, _ decider.Meta) (events.Event, error) {
	switch p.status {
	case query.PaymentCaptured:
		return refunded(p), nil
	case query.PaymentDeclined, query.PaymentVoided, query.PaymentRefunded:
		return nil, nil // a provider that declined will not capture
	}
	return events.PaymentVoided{PaymentID: events.PaymentFor(e.OrderID), OrderID: e.OrderID}, nil
}

// refund gives back money that came for a cancelled order.
func refund(p payment, _ events.PaymentCaptured, _ decider.Meta) (events.Event, error) {
	if p.status != query.PaymentCaptured {
		return nil, nil
	}
	return refunded(p), nil
}

// expire ends a payment that nobody made, when its reminder comes.
func expire(p payment, e events.PaymentRequested, _ decider.Meta) (events.Event, error) {
	if p.status != query.PaymentPending {
		return nil, nil
	}
	return events.PaymentExpired{PaymentID: e.PaymentID, OrderID: e.OrderID}, nil
}

func refunded(p payment) events.Event {
	return events.PaymentRefunded{PaymentID: p.request.PaymentID, OrderID: p.request.OrderID, Amount: p.request.Amount}
}
