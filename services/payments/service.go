// Package payments is the service that owns the payments: it requests an order's money,
// records what the provider reports, and refunds.
//
// It records on the stream PAYMENTS, and reacts to the events of orders and to its own. It
// guarantees:
//
//   - An order has at most one payment, whose id follows from the order's. It is tried until
//     its deadline, at one provider or another, and captured at most once: money that comes
//     a second time is given back.
//
//   - Never more is refunded than was captured, in one part or in several. A refund that the
//     provider does not make is recorded as failed, and can be tried again.
//
//   - Money that was captured for an order that is cancelled is refunded, as far as it was not
//     yet, whichever of the two comes first. An order that is cancelled before its payment was requested is
//     recorded as voided, so no money is requested for it later.
//
//   - A payment that is not made by its deadline expires. A capture that comes later is
//     recorded all the same: the order decides whether it still wants the money.
//
//   - What a provider is asked for, it is asked for at least once, under one key (see
//     service.Effect). What it reports is recorded once. What does not fit to what was
//     requested is recorded for a person to look at.
//
// Package catalog describes the files. Besides those, provider.go is the interface of providers,
// of which each has a file; effects.go is what they are asked for, and report.go what they report, and
// refunds.go gives money back.
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
	// Providers take the money; see OpenProviders. The first one is that of new orders. Without any,
	// money is requested in the sandbox, and nobody can pay. Without the sandbox among them,
	// command.SettlePayment is Forbidden.
	Providers []Provider
}

// New returns a payments service that has not started. It runs once.
func New(config Config) *service.Service {
	payments := decider.New(paymentType)
	paymentsView, refundsView := projection.New(paymentsDefinition), projection.New(refundsDefinition)
	configured, deadline := providers(config.Providers), cmp.Or(config.Deadline, 15*time.Minute)
	decideSettle := settle
	if configured.named(sandboxName) == nil {
		decideSettle = sandboxOff
	}
	return &service.Service{
		Name:  "payments",
		Views: []*projection.View{paymentsView, refundsView},
		Commands: []service.Command{
			service.Handle(payments, decideSettle).Reply(reply),
			service.Handle(payments, configured.retry).Reply(reply),
			service.Handle(payments, configured.report).Target(targetOf(paymentsView)).WaitFor(paymentsView).Reply(reply),
		},
		Reactions: []service.Reaction{
			{Consumer: "payments-on-orders", Handlers: []service.Handler{
				service.React(payments, paymentOf[events.OrderAwaitingPayment], request(configured.first(), deadline)),
				service.React(payments, paymentOf[events.OrderCancelled], withdraw),
				service.React(payments, paymentOf[events.OrderRefundRequested], refundPart),
			}},
			{Consumer: "payments-on-captures", Handlers: []service.Handler{
				service.React(payments, ifUnwanted, giveBack),
			}},
		},
		Timers: []service.Timer{
			{Name: "payments-deadline", Stream: paymentType.Stream, View: paymentsView, Pending: pastDeadline, SetBy: "payments-on-payments", Handlers: []service.Handler{
				service.React(payments, events.PaymentRequested.EntityID, expire),
			}},
		},
		Effects: []service.Effect{
			configured.pages(payments, paymentsView, deadline),
			configured.closing(payments, paymentsView),
			configured.returns(payments, paymentsView),
			configured.refunds(payments, refundsView),
		},
		Queries: []service.Query{
			service.Answer(paymentsView, findPayment(paymentsView)).ForEntity(paymentType.Stream, func(q query.Payment) string { return paymentType.Filter(string(q.PaymentID)) }),
			service.Answer(paymentsView, listFlagged(paymentsView)),
		},
	}
}

// paymentOf returns the entity that reacts to an order's event: the order's payment.
func paymentOf[E events.OfOrder](e E) string { return string(events.PaymentFor(e.Order())) }

// ifUnwanted returns the payment whose money must be refunded, "" when it need not be.
func ifUnwanted(e events.PaymentCaptured) string {
	if !e.Unwanted || e.Again { // see providers.returns
		return ""
	}
	return e.EntityID()
}

// reply is the answer to every command: the payment after it.
func reply(p payment, _ events.Event) any {
	r, last := p.request, p.last()
	view := query.PaymentView{ID: r.PaymentID, OrderID: r.OrderID, Provider: last.provider, Status: p.status, Amount: r.Amount, URL: last.url}
	if p.status == query.PaymentPending {
		view.Failed = last.ended
	}
	return view
}
