package orders

import (
	"time"

	"lonja/events"
	"lonja/events/query"
	"lonja/internal/decider"
)

// order is the state that decisions about an order are made on: what its owner
// sees of it, without the payment, which is another service's.
type order query.OrderView

// unknown is the status of an order that was never placed.
const unknown = ""

var orderKind = decider.Kind[order]{Name: "order", Stream: "ORDERS", Prefix: "ord_", Evolve: evolve}

func evolve(o order, fact events.Event, at time.Time) order {
	switch e := fact.(type) {
	case events.OrderPlaced:
		o = order{ID: e.OrderID, CustomerID: e.CustomerID, Currency: e.Total.Currency,
			Total: e.Total, TotalItems: e.TotalItems, Items: e.Items, CreatedAt: at.UTC()}
	case events.OrderCancelled:
		o.CancelReason = e.Reason
	}
	if status := statusAfter(fact); status != unknown {
		o.Status, o.UpdatedAt = status, at.UTC()
	}
	return o
}

// statusAfter is the status that a fact brings its order to, unknown when it is
// none of an order's own facts.
func statusAfter(fact events.Event) string {
	switch fact.(type) {
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
