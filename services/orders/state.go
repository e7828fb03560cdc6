package orders

import (
	"time"

	"lonja/events"
	"lonja/events/query"
	"lonja/kit/decider"
)

// order is the state of one order, on which everything about it is decided: what its owner
// sees of it, without the payment, which is another service's, and its refunds.
type order struct {
	query.OrderView
	refunds []refund
}

// unknown is the status of an order that was never placed.
const unknown = ""

var orderType = decider.EntityType[order]{Subject: "events.order", Stream: "ORDERS", Prefix: "ord_", Evolve: evolve}

func evolve(o order, event events.Event, at time.Time) order {
	switch e := event.(type) {
	case events.OrderPlaced:
		o = order{OrderView: query.OrderView{ID: e.OrderID, CustomerID: e.CustomerID, Currency: e.Total.Currency,
			Total: e.Total, TotalItems: e.TotalItems, Items: e.Items, CreatedAt: at.UTC()}}
	case events.OrderCancelled:
		o.CancelReason = e.Reason
	}
	o.refunds = evolveRefunds(o.refunds, event, at)
	if status := statusAfter(event); status != unknown {
		o.Status, o.UpdatedAt = status, at.UTC()
	}
	return o
}

// statusAfter returns the status that an order has after an event, and unknown when the
// event does not change it.
func statusAfter(event events.Event) string {
	switch event.(type) {
	case events.OrderPlaced:
		return query.Placed
	case events.OrderAwaitingPayment:
		return query.AwaitingPayment
	case events.OrderPaid:
		return query.Paid
	case events.OrderShipped:
		return query.Shipped
	case events.OrderDelivered:
		return query.Delivered
	case events.OrderCancelled:
		return query.Cancelled
	}
	return unknown
}
