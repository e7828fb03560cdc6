package command

import (
	"fmt"

	"lonja/events"
)

// MaxItems is how many lines an order may have.
const MaxItems = 1000

// PlaceOrder orders some of the catalogue's products for the customer who
// sends it. A SKU may stand in several lines.
type PlaceOrder struct {
	Items []OrderLine `json:"items" minItems:"1" maxItems:"1000"`
}

// OrderLine is so many pieces of a SKU, at the price that is on offer.
type OrderLine struct {
	SKU      events.SKU `json:"sku"`
	Quantity int64      `json:"quantity" minimum:"1" maximum:"1000000000"`
	// UnitPrice, when not nil, is the price that the customer has seen: an order
	// at another one is refused.
	UnitPrice *events.Money `json:"unit_price,omitempty" doc:"The price that the customer has seen; when it is another one by now, the order is refused with 409"`
}

// CancelOrder gives an order up. Its owner may until it is shipped; so may staff.
type CancelOrder struct {
	OrderID events.OrderID `json:"order_id"`
}

// ShipOrder says that a paid order left, whose goods inventory has committed. Staff only.
type ShipOrder struct {
	OrderID events.OrderID `json:"order_id"`
}

// DeliverOrder says that a shipped order arrived. Staff only.
type DeliverOrder struct {
	OrderID events.OrderID `json:"order_id"`
}

func (PlaceOrder) CommandName() string { return "orders.place" }
func (PlaceOrder) EntityID() string    { return "" }
func (c PlaceOrder) Check() error {
	if len(c.Items) == 0 {
		return events.Wrong("items", "must not be empty")
	}
	if len(c.Items) > MaxItems {
		return events.Wrong("items", "must be at most %d", MaxItems)
	}
	for i, item := range c.Items {
		if err := item.check(); err != nil {
			return events.In(fmt.Sprintf("items[%d]", i), err)
		}
	}
	return nil
}

func (l OrderLine) check() error {
	switch {
	case l.Quantity < 1 || l.Quantity > events.MaxQuantity:
		return events.Wrong("quantity", "must be 1 to %d", int64(events.MaxQuantity))
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
