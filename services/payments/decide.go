package payments

import (
	"lonja/events"
	"lonja/events/command"
	"lonja/events/query"
	"lonja/kit/decider"
	"lonja/kit/errs"
)

// settle trusts the sandbox's report from anyone who has the payment's link. It is about the last
// attempt, which must be the sandbox's.
func settle(p payment, c command.SettlePayment, _ decider.Meta) (events.Event, error) {
	switch {
	case !p.requested():
		return nil, noSuchPayment(c.PaymentID)
	case p.last().provider != sandboxName:
		return nil, errs.New(errs.Conflict, "the payment is not made in the sandbox, but with %s", p.last().provider)
	case c.Outcome == command.Decline:
		return decline(p)
	case p.last().ended != "" && p.status == query.PaymentPending:
		return nil, errs.New(errs.Conflict, "this attempt to pay was %s; ask for another one", p.last().ended)
	}
	return capture(p, len(p.attempts), "")
}

// sandboxOff is settle where the sandbox is not enabled: it accepts no report.
func sandboxOff(payment, command.SettlePayment, decider.Meta) (events.Event, error) {
	return nil, errs.New(errs.Forbidden, "the sandbox provider is off; to turn it on, run payments with --sandbox")
}

// capture records that a provider has the money of an attempt, also when it comes late: after the
// deadline the order may still accept it, after the cancellation it will not. Money that comes a
// second time, by another attempt, is not wanted at all.
func capture(p payment, n int, name string) (events.Event, error) {
	r := p.request
	captured := events.PaymentCaptured{PaymentID: r.PaymentID, OrderID: r.OrderID, Amount: r.Amount, Capture: name}
	if len(p.attempts) > 1 {
		captured.Attempt = n
	}
	switch {
	case p.attempts[n-1].captured:
		return nil, nil
	case p.wasCaptured():
		captured.Unwanted, captured.Again = true, true
		return captured, nil
	case p.status == query.PaymentPending, p.status == query.PaymentExpired:
		return captured, nil
	case p.status == query.PaymentVoided:
		captured.Unwanted = true
		return captured, nil
	}
	return nil, cannotBe(p, query.PaymentCaptured)
}

// decline records that a provider will not give the money of the last attempt.
func decline(p payment) (events.Event, error) {
	switch {
	case p.status == query.PaymentPending:
		return fail(p, len(p.attempts), events.AttemptDeclined, ""), nil
	case p.status == query.PaymentDeclined:
		return nil, nil // as earlier versions recorded it
	}
	return nil, cannotBe(p, query.PaymentDeclined)
}

// fail returns the event that an attempt has failed, nil if it is not open any more.
func fail(p payment, n int, reason, detail string) events.Event {
	if !p.isOpen(n) {
		return nil
	}
	return events.PaymentAttemptFailed{PaymentID: p.request.PaymentID, OrderID: p.request.OrderID, Attempt: n, Reason: reason, Detail: detail}
}

// maxAttempts bounds how often an order's payment is tried.
const maxAttempts = 20

// retry starts another attempt to pay, until the deadline.
func (all providers) retry(p payment, c command.RetryPayment, m decider.Meta) (events.Event, error) {
	if !p.requested() {
		return nil, errs.New(errs.Conflict, "no payment is requested yet; there is nothing to pay")
	}
	name := c.Provider
	if name == "" {
		name = p.last().provider
	}
	switch provider := all.named(name); {
	case provider == nil && c.Provider != "":
		return nil, errs.InvalidField("provider", "must be one of %s", all.names())
	case p.status != query.PaymentPending:
		return nil, errs.New(errs.Conflict, "the payment is %s; there is nothing to pay any more", p.status)
	case !m.Now.Before(p.request.ExpiresAt):
		return nil, errs.New(errs.Conflict, "the time to pay is over")
	case len(p.attempts) >= maxAttempts:
		return nil, errs.New(errs.Conflict, "the payment was tried %d times; place the order again", maxAttempts)
	default:
		if provider == nil { // the one before is not configured any more
			provider = all.first()
		}
		return events.PaymentRetried{PaymentID: p.request.PaymentID, OrderID: p.request.OrderID, Attempt: len(p.attempts) + 1,
			Provider: provider.Name(), URL: provider.Link(p.request.PaymentID)}, nil
	}
}

func cannotBe(p payment, status string) error {
	return errs.New(errs.Conflict, "the payment is %s and cannot be %s", p.status, status)
}

func noSuchPayment(id events.PaymentID) error {
	return errs.New(errs.NotFound, "there is no payment %s", id)
}
