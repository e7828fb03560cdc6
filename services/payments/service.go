// Package payments asks for an order's money, hears from the provider whether
// it came, and gives it back.
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

// Config says how payments behaves. The zero Config works.
type Config struct {
	// Deadline is how long a customer may take to pay; 0 means 15 minutes. It
	// should be shorter than a reservation of stock lasts.
	Deadline time.Duration
	// Sandbox lets the sandbox provider settle payments, whose word is that of
	// whoever has a payment's link: nobody really pays. Without it settle is refused.
	Sandbox bool
}

// New is the payments service: all that it does.
func New(config Config) *service.Service {
	payments := decider.New(paymentKind)
	book := projection.New(bookDefinition)
	settled := settle
	if !config.Sandbox {
		settled = settleNothing
	}
	return &service.Service{
		Name:  "payments",
		Views: []*projection.View{book},
		Commands: []service.Command{
			service.Handle(payments, settled).Reply(show),
		},
		Reactions: []service.Reaction{
			{Consumer: "payments-on-orders", Handlers: []service.Handler{
				service.React(payments, ofOrder[events.OrderAwaitingPayment], request(cmp.Or(config.Deadline, 15*time.Minute))),
				service.React(payments, ofOrder[events.OrderCancelled], withdraw),
			}},
			{Consumer: "payments-on-payments", Handlers: []service.Handler{
				service.Remind("payments-deadline", func(e events.PaymentRequested) time.Time { return e.ExpiresAt }),
				service.React(payments, ifUnwanted, refund),
			}},
			{Consumer: "payments-deadline", Handlers: []service.Handler{
				service.React(payments, events.PaymentRequested.EntityID, expire),
			}},
		},
		Queries: []service.Query{
			service.Answer(book, findPayment(book)).About(paymentKind.Stream, func(q query.Payment) string { return paymentKind.Filter(string(q.PaymentID)) }),
		},
	}
}

// ofOrder is the payment of the order that an event is about.
func ofOrder[E events.OfOrder](e E) string { return string(events.PaymentFor(e.Order())) }

// ifUnwanted is the payment when its money is to go back, else none.
func ifUnwanted(e events.PaymentCaptured) string {
	if !e.Unwanted {
		return ""
	}
	return e.EntityID()
}

// show is a payment as every answer shows it.
func show(p payment, _ events.Event) any {
	r := p.request
	return query.PaymentView{ID: r.PaymentID, OrderID: r.OrderID, Provider: r.Provider, Status: p.status, Amount: r.Amount, URL: r.URL}
}
