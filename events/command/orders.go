package command

import (
	"fmt"

	"lonja/events"
)

// MaxItems is the maximum number of lines of an order.
const MaxItems = 1000

// PlaceOrder orders products for the customer who sends it. A SKU may be in several lines.
type PlaceOrder struct {
	Items []OrderLine `json:"items" minItems:"1" maxItems:"1000"`
}

// OrderLine is a number of pieces of a SKU, at its present price.
type OrderLine struct {
	SKU      events.SKU `json:"sku"`
	Quantity int64      `json:"quantity" minimum:"1" maximum:"1000000000"`
	// UnitPrice, when not nil, is the price that the customer saw. The order is rejected
	// with a conflict when the present price differs.
	UnitPrice *events.Money `json:"unit_price,omitempty" doc:"The price that the customer has seen; when it is another one by now, the order is refused with 409"`
}

// CancelOrder cancels an order that is not shipped yet. Its owner and staff only.
type CancelOrder struct {
	OrderID events.OrderID `json:"order_id"`
}

// ShipOrder records that a paid order, whose goods inventory has committed, has left. Staff
// only.
type ShipOrder struct {
	OrderID events.OrderID `json:"order_id"`
}

// DeliverOrder records that a shipped order has arrived. Staff only.
type DeliverOrder struct {
	OrderID events.OrderID `json:"order_id"`
}

func (PlaceOrder) CommandName() string { return "orders.place" }
func (PlaceOrder) EntityID() string    { return "" }
func (c PlaceOrder) Check() error {
	if len(c.Items) == 0 {
		return events.InvalidField("items", "must not be empty")
	}
	if len(c.Items) > MaxItems {
		return events.InvalidField("items", "must have at most %d entries", MaxItems)
	}
	for i, item := range c.Items {
		if err := item.check(); err != nil {
			return events.InField(fmt.Sprintf("items[%d]", i), err)
		}
	}
	return nil
}

func (l OrderLine) check() error {
	switch {
	case l.Quantity < 1 || l.Quantity > events.MaxQuantity:
		return events.InvalidField("quantity", "must be 1 to %d", int64(events.MaxQuantity))
	case l.UnitPrice != nil:
		return events.FirstOf(events.Token("sku", l.SKU), l.UnitPrice.Check("unit_price"))
	}
	return events.Token("sku", l.SKU)
}

func (CancelOrder) CommandName() string { return "orders.cancel" }
func (c CancelOrder) EntityID() string  { return string(c.OrderID) }
func (c CancelOrder) Check() error      { return events.Token("order_id", c.OrderID) }

func (ShipOrder) CommandName() string { return "orders.ship" }
func (c ShipOrder) EntityID() string  { return string(c.OrderID) }
func (c ShipOrder) Check() error      { return events.Token("order_id", c.OrderID) }

func (DeliverOrder) CommandName() string { return "orders.deliver" }
func (c DeliverOrder) EntityID() string  { return string(c.OrderID) }
func (c DeliverOrder) Check() error      { return events.Token("order_id", c.OrderID) }
