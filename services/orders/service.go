// Package orders is the service that owns the orders, from the placing of an order to its
// delivery or cancellation.
//
// It records on the stream ORDERS, and reacts to the events of inventory and payments. It
// guarantees:
//
//   - An order's own state is the state of its saga: nothing else is stored. The events of
//     other services move it on, in whatever order they arrive and however often.
//   - An order is paid at most once, and is cancelled at most once. It is shipped only when
//     inventory has committed its goods.
//   - The refunds of an order never exceed its total. What failed at the provider is free again.
//   - A customer is charged the price that they saw: when the price has changed, the order
//     is rejected. Placing an order needs only this service's own view of the catalogue, so
//     orders are accepted while the catalog service is down.
//   - A customer sees only their own orders. To anyone else but staff they do not exist.
//
// Package catalog describes the files. Besides those, priceview.go is the view of the
// catalogue's prices, refunds.go has all about refunds, and timeline.go puts the events of several streams in one order.
package orders

import (
	"cmp"
	"time"

	"lonja/events"
	"lonja/events/query"
	"lonja/kit/decider"
	"lonja/kit/projection"
	"lonja/kit/service"
)

// Config configures orders. The zero Config works.
type Config struct {
	// MaxWait is how long new orders may wait on average until they say where to pay; 0 means a
	// second. When it gets longer, further ones are held, and then rejected with
	// errs.Unavailable. A negative MaxWait holds none.
	MaxWait time.Duration
}

// New returns an orders service that has not started. It runs once.
func New(config Config) *service.Service {
	orders := decider.New(orderType)
	pricesView, ordersView := projection.New(pricesDefinition), projection.New(ordersDefinition)
	return &service.Service{
		Name:  "orders",
		Views: []*projection.View{pricesView, ordersView},
		// Customers wait at the gateway for changes of their orders.
		ChangeNotifications: []*projection.View{ordersView},
		Commands: []service.Command{
			service.HandleWith(orders, lookUpPrices(pricesView), place).WaitFor(pricesView).HeldTo(cmp.Or(config.MaxWait, time.Second), ordersView).Reply(reply),
			service.Handle(orders, cancel).Reply(reply),
			service.HandleWith(orders, lookUpCommitted(ordersView), ship).WaitFor(ordersView).Reply(reply),
			service.Handle(orders, deliver).Reply(reply),
			service.Handle(orders, refundOrder).Reply(replyToRefund),
			service.Handle(orders, retryRefund).Reply(replyToRefund),
		},
		Reactions: []service.Reaction{
			{Consumer: "orders-on-stock", Handlers: []service.Handler{
				service.React(orders, orderOf, onReserved),
				service.React(orders, orderOf, onRefused),
				service.React(orders, orderOf, onReleased),
			}},
			{Consumer: "orders-on-payments", Handlers: []service.Handler{
				service.React(orders, orderOf, onCaptured),
				service.React(orders, orderOf, onDeclined),
				service.React(orders, orderOf, onExpired),
				service.React(orders, orderOf, onRefundFailed),
			}},
		},
		Queries: []service.Query{
			service.Answer(ordersView, findOrder(ordersView)).Timeout(waitTimeout).
				ForEntity(orderType.Stream, func(q query.Order) string { return orderType.Filter(string(q.OrderID)) }),
			service.Answer(ordersView, listOrders(ordersView)),
			service.Answer(ordersView, findTimeline(ordersView)).
				ForEntity(orderType.Stream, func(q query.OrderTimeline) string { return orderType.Filter(string(q.OrderID)) }),
			service.Answer(ordersView, listRefunds(ordersView)).
				ForEntity(orderType.Stream, func(q query.OrderRefunds) string { return orderType.Filter(string(q.OrderID)) }),
			service.Answer(ordersView, listStatuses(ordersView)).Timeout(waitTimeout).
				ForEntity(orderType.Stream, func(q query.OrderStatuses) string { return orderType.Filter(string(q.OrderID)) }),
		},
	}
}

// orderOf returns the entity that reacts to an event: the order that the event is about.
func orderOf[E events.OfOrder](event E) string { return string(event.Order()) }

// reply is the answer to every command: the order after it. It has no payment, which is
// another service's and only in the orders view.
func reply(o order, _ events.Event) any { return o.OrderView }
