package payments

import (
	"time"

	"lonja/events"
	"lonja/events/query"
	"lonja/kit/decider"
)

// request requests the money of an order that awaits it, until a deadline. It requests
// nothing for an order that costs nothing, which is paid without it. A provider that must be asked
// where to pay is asked later, by the effect payments-pages.
func request(provider Provider, deadline time.Duration) func(payment, events.OrderAwaitingPayment, decider.Meta) (events.Event, error) {
	return func(p payment, e events.OrderAwaitingPayment, m decider.Meta) (events.Event, error) {
		if p.status != "" || e.Amount.Amount == 0 {
			return nil, nil
		}
		id := events.PaymentFor(e.OrderID)
		return events.PaymentRequested{PaymentID: id, OrderID: e.OrderID, Amount: e.Amount,
			Provider: provider.Name(), URL: provider.Link(id), ExpiresAt: m.Now.Add(deadline)}, nil
	}
}

// withdraw refunds what is left of a cancelled order's payment. When no money has come, it voids
// the payment: a capture may still be on its way, and so may order.awaiting_payment, which can
// arrive after the cancellation.
func withdraw(p payment, e events.OrderCancelled, _ decider.Meta) (events.Event, error) {
	switch p.status {
	case query.PaymentCaptured, query.PaymentPartiallyRefunded, query.PaymentRefunded:
		return p.refundUpTo(p.captured.Amount), nil
	case query.PaymentDeclined, query.PaymentVoided:
		return nil, nil // a provider that declined captures nothing later
	}
	return events.PaymentVoided{PaymentID: events.PaymentFor(e.OrderID), OrderID: e.OrderID}, nil
}

// giveBack refunds money that was captured for a cancelled order.
func giveBack(p payment, e events.PaymentCaptured, _ decider.Meta) (events.Event, error) {
	return p.refundUpTo(e.Amount.Amount), nil
}

// expire ends a payment that is still pending at its deadline.
func expire(p payment, e events.PaymentRequested, _ decider.Meta) (events.Event, error) {
	if p.status != query.PaymentPending {
		return nil, nil
	}
	return events.PaymentExpired{PaymentID: e.PaymentID, OrderID: e.OrderID}, nil
}
