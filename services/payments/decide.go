package payments

import (
	"lonja/events"
	"lonja/events/command"
	"lonja/events/query"
	"lonja/kit/decider"
	"lonja/kit/errs"
)

// settle trusts the sandbox's report from anyone who has the payment's link.
func settle(p payment, c command.SettlePayment, _ decider.Meta) (events.Event, error) {
	if !p.requested() {
		return nil, noSuchPayment(c.PaymentID)
	}
	if c.Outcome == command.Pay {
		return capture(p)
	}
	return decline(p)
}

// sandboxOff is settle where the sandbox is not enabled: it accepts no report.
func sandboxOff(payment, command.SettlePayment, decider.Meta) (events.Event, error) {
	return nil, errs.New(errs.Forbidden, "the sandbox provider is off; to turn it on, run payments with --sandbox")
}

// capture records that a provider has the money, also when it comes late: after the deadline
// the order may still accept it, after the cancellation it will not.
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
	return nil, cannotBe(p, query.PaymentCaptured)
}

// decline records that a provider will not give the money.
func decline(p payment) (events.Event, error) {
	switch p.status {
	case query.PaymentPending:
		return events.PaymentDeclined{PaymentID: p.request.PaymentID, OrderID: p.request.OrderID}, nil
	case query.PaymentDeclined:
		return nil, nil
	}
	return nil, cannotBe(p, query.PaymentDeclined)
}

func cannotBe(p payment, status string) error {
	return errs.New(errs.Conflict, "the payment is %s and cannot be %s", p.status, status)
}

func noSuchPayment(id events.PaymentID) error {
	return errs.New(errs.NotFound, "there is no payment %s", id)
}
