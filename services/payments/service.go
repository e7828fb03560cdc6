// Package payments is the service that owns the payments: it requests an order's money,
// records what the provider reports, and refunds.
//
// It records on the stream PAYMENTS, and reacts to the events of orders and to its own. It
// guarantees:
//
//   - An order has at most one payment, whose id follows from the order's. Money is
//     requested, captured and refunded at most once.
//   - Money that was captured for an order that is cancelled is refunded, whichever of the
//     two comes first. An order that is cancelled before its payment was requested is
//     recorded as voided, so no money is requested for it later.
//   - A payment that is not made by its deadline expires. A capture that comes later is
//     recorded all the same: the order decides whether it still wants the money.
//
// Package catalog describes the files. Besides those, sandbox.go is the provider.
package payments

import (
	"cmp"
	"time"

	"lonja/events"
	"lonja/events/query"
	"lonja/kit/decider"
	"lonja/kit/projection"
	"lonja/kit/service"
)

// Config configures payments. The zero Config works.
type Config struct {
	// Deadline is how long a customer may take to pay; 0 means 15 minutes. It should be
	// shorter than the time for which inventory reserves an order's goods.
	Deadline time.Duration
	// Sandbox enables the sandbox provider, with which nobody really pays: anyone who has
	// a payment's link settles it. Without it, command.SettlePayment is Forbidden.
	Sandbox bool
}

// New returns a payments service that has not started. It runs once.
func New(config Config) *service.Service {
	payments := decider.New(paymentType)
	paymentsView := projection.New(paymentsDefinition)
	decideSettle := settle
	if !config.Sandbox {
		decideSettle = sandboxOff
	}
	return &service.Service{
		Name:  "payments",
		Views: []*projection.View{paymentsView},
		Commands: []service.Command{
			service.Handle(payments, decideSettle).Reply(reply),
		},
		Reactions: []service.Reaction{
			{Consumer: "payments-on-orders", Handlers: []service.Handler{
				service.React(payments, paymentOf[events.OrderAwaitingPayment], request(cmp.Or(config.Deadline, 15*time.Minute))),
				service.React(payments, paymentOf[events.OrderCancelled], withdraw),
			}},
			{Consumer: "payments-on-captures", Handlers: []service.Handler{
				service.React(payments, ifUnwanted, refund),
			}},
		},
		Timers: []service.Timer{
			{Name: "payments-deadline", Stream: paymentType.Stream, View: paymentsView, Pending: pastDeadline, SetBy: "payments-on-payments", Handlers: []service.Handler{
				service.React(payments, events.PaymentRequested.EntityID, expire),
			}},
		},
		Queries: []service.Query{
			service.Answer(paymentsView, findPayment(paymentsView)).ForEntity(paymentType.Stream, func(q query.Payment) string { return paymentType.Filter(string(q.PaymentID)) }),
		},
	}
}

// paymentOf returns the entity that reacts to an order's event: the order's payment.
func paymentOf[E events.OfOrder](e E) string { return string(events.PaymentFor(e.Order())) }

// ifUnwanted returns the payment whose money must be refunded, "" when it need not be.
func ifUnwanted(e events.PaymentCaptured) string {
	if !e.Unwanted {
		return ""
	}
	return e.EntityID()
}

// reply is the answer to every command: the payment after it.
func reply(p payment, _ events.Event) any {
	r := p.request
	return query.PaymentView{ID: r.PaymentID, OrderID: r.OrderID, Provider: r.Provider, Status: p.status, Amount: r.Amount, URL: r.URL}
}
