// Package orders takes customers' orders and sees each of them to its end. An
// order's own state is all the memory that this takes: what stock and payments
// record moves it on, in whatever order it comes and however often.
package orders

import (
	"lonja/events"
	"lonja/events/query"
	"lonja/kit/decider"
	"lonja/kit/projection"
	"lonja/kit/service"
)

// New is the orders service: all that it does.
func New() *service.Service {
	orders := decider.New(orderKind)
	prices, book := projection.New(offersDefinition), projection.New(bookDefinition)
	return &service.Service{
		Name:  "orders",
		Views: []*projection.View{prices, book},
		// Customers wait at the gateway for news of their orders.
		Announces: []*projection.View{book},
		Commands: []service.Command{
			service.HandleWith(orders, lookUp(prices), place).WaitFor(prices).Reply(show),
			service.Handle(orders, cancel).Reply(show),
			service.HandleWith(orders, allocation(book), ship).WaitFor(book).Reply(show),
			service.Handle(orders, deliver).Reply(show),
		},
		Reactions: []service.Reaction{
			{Consumer: "orders-on-stock", Handlers: []service.Handler{
				service.React(orders, itsOrder, reserved),
				service.React(orders, itsOrder, refused),
				service.React(orders, itsOrder, released),
			}},
			{Consumer: "orders-on-payments", Handlers: []service.Handler{
				service.React(orders, itsOrder, captured),
				service.React(orders, itsOrder, declined),
				service.React(orders, itsOrder, expired),
			}},
		},
		Queries: []service.Query{
			service.Answer(book, findOrder(book)).Timeout(patience).
				About(orderKind.Stream, func(q query.Order) string { return orderKind.Filter(string(q.OrderID)) }),
			service.Answer(book, listOrders(book)),
			service.Answer(book, tellTimeline(book)).
				About(orderKind.Stream, func(q query.OrderTimeline) string { return orderKind.Filter(string(q.OrderID)) }),
			service.Answer(book, followStatus(book)).Timeout(patience).
				About(orderKind.Stream, func(q query.OrderStatuses) string { return orderKind.Filter(string(q.OrderID)) }),
		},
	}
}

// show is an order as every answer shows it; its payment stands in the book only.
func show(o order, _ events.Event) any { return query.OrderView(o) }
