// Package orders takes customers' orders and sees each of them to its end. An
// order's own state is all the memory that this takes: what stock and payments
// record moves it on, in whatever order it comes and however often.
package orders

import (
	"lonja/events"
	"lonja/events/query"
	"lonja/internal/decider"
	"lonja/internal/service"
	"lonja/internal/view"
)

// New is the orders service: all that it does.
func New() *service.Service {
	orders := decider.New(orderKind)
	prices, book := view.New(offersDefinition), view.New(bookDefinition)
	return &service.Service{
		Name:  "orders",
		Views: []*view.View{prices, book},
		// Customers wait at the gateway for news of their orders.
		Announces: []*view.View{book},
		Commands: []service.Command{
			service.OnKnowing(orders, lookUp(prices), place).Reading(prices).Replies(show),
			service.On(orders, cancel).Replies(show),
			service.OnKnowing(orders, allocation(book), ship).Reading(book).Replies(show),
			service.On(orders, deliver).Replies(show),
		},
		Reactions: []service.Reaction{
			{Consumer: "orders-on-stock", Reflexes: []service.Reflex{
				service.When(orders, itsOrder, reserved),
				service.When(orders, itsOrder, refused),
				service.When(orders, itsOrder, released),
			}},
			{Consumer: "orders-on-payments", Reflexes: []service.Reflex{
				service.When(orders, itsOrder, captured),
				service.When(orders, itsOrder, declined),
				service.When(orders, itsOrder, expired),
			}},
		},
		Queries: []service.Query{
			service.Answer(book, findOrder(book)).Patience(patience).
				About(orderKind.Stream, orderKind.Name, func(q query.Order) string { return string(q.OrderID) }),
			service.Answer(book, listOrders(book)),
			service.Answer(book, tellTimeline(book)).
				About(orderKind.Stream, orderKind.Name, func(q query.OrderTimeline) string { return string(q.OrderID) }),
			service.Answer(book, followStatus(book)).Patience(patience).
				About(orderKind.Stream, orderKind.Name, func(q query.OrderStatuses) string { return string(q.OrderID) }),
		},
	}
}

// show is an order as every answer shows it; its payment stands in the book only.
func show(o order, _ events.Event) any { return query.OrderView(o) }
