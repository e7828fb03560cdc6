package payments

import (
	"lonja/events"
	"lonja/events/command"
	"lonja/kit/decider"
	"lonja/kit/errs"
)

// The sandbox is a provider without a bank: its page, under the shop's own
// address, asks the customer what the bank would say and reports it with the
// command settle. A real provider takes its place with a name, an address to
// pay at, and a webhook that becomes the same kind of command.
const sandbox = "sandbox"

func sandboxURL(id events.PaymentID) string { return "/sandbox/payments/" + string(id) }

// settle takes the sandbox's word from whoever has the payment's link.
func settle(p payment, c command.SettlePayment, _ decider.Meta) (events.Event, error) {
	if !p.asked() {
		return nil, noSuchPayment(c.PaymentID)
	}
	if c.Outcome == command.Pay {
		return capture(p)
	}
	return decline(p)
}

// settleNothing takes nobody's word: the sandbox is off.
func settleNothing(payment, command.SettlePayment, decider.Meta) (events.Event, error) {
	return nil, errs.New(errs.Forbidden, "the sandbox provider is off; lonja service payments --sandbox turns it on")
}

func noSuchPayment(id events.PaymentID) error {
	return errs.New(errs.NotFound, "there is no payment %s", id)
}
