package payments

import (
	"context"

	"lonja/events"
)

// sandboxName is what events call the sandbox.
const sandboxName = "sandbox"

// sandbox is a provider without a bank. Its page, under the shop's own address, asks the customer
// what a bank would decide, and reports it with command.SettlePayment.
type sandbox struct{}

// Sandbox returns the provider with which nobody really pays: anyone who has a payment's link
// settles it.
func Sandbox() Provider { return sandbox{} }

func (sandbox) Name() string { return sandboxName }

func (sandbox) Link(id events.PaymentID) string { return "/sandbox/payments/" + string(id) }

func (sandbox) Units(m events.Money) (int64, string, error) { return m.Amount, m.Currency, nil }

func (s sandbox) Open(_ context.Context, _ string, a Attempt) (Page, error) {
	return Page{URL: s.Link(a.PaymentID)}, nil
}

func (sandbox) Close(context.Context, string, string) error { return nil }

func (sandbox) Refund(context.Context, string, Refund) error { return nil }
