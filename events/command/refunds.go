package command

import (
	"fmt"

	"lonja/events"
)

// RefundOrder gives back a part of a paid order's money: Amount, or what Lines cost, or all that is left if
// both are missing. Staff only.
type RefundOrder struct {
	OrderID events.OrderID `json:"order_id"`
	Amount  *events.Money  `json:"amount,omitempty"`
	Lines   []ReturnedLine `json:"lines,omitempty" maxItems:"1000"`
	Reason  string         `json:"reason,omitempty"`
}

// ReturnedLine is a number of pieces of an order to be refunded.
type ReturnedLine struct {
	SKU      events.SKU `json:"sku"`
	Quantity int64      `json:"quantity" minimum:"1" maximum:"1000000000"`
	// Restock puts the pieces back into stock.
	Restock bool `json:"restock,omitempty" doc:"Put these pieces back into stock"`
}

// RetryRefund tries a refund again that failed at the provider. Staff only.
type RetryRefund struct {
	OrderID  events.OrderID  `json:"order_id"`
	RefundID events.RefundID `json:"refund_id"`
}

func (RefundOrder) CommandName() string { return "orders.refund" }
func (c RefundOrder) EntityID() string  { return string(c.OrderID) }
func (c RefundOrder) Check() error {
	if len(c.Lines) > MaxItems {
		return events.InvalidField("lines", "must have at most %d entries", MaxItems)
	}
	for i, line := range c.Lines {
		if err := line.check(); err != nil {
			return events.InField(fmt.Sprintf("lines[%d]", i), err)
		}
	}
	if c.Amount != nil {
		if len(c.Lines) > 0 {
			return events.InvalidField("amount", "and lines cannot be given together: lines are refunded with what they cost")
		}
		if c.Amount.Amount == 0 {
			return events.InvalidField("amount.amount", "must be at least 1")
		}
		if err := c.Amount.Check("amount"); err != nil {
			return err
		}
	}
	return events.FirstOf(events.Token("order_id", c.OrderID), events.Text("reason", c.Reason, 0, 500))
}

func (l ReturnedLine) check() error {
	if l.Quantity < 1 || l.Quantity > events.MaxQuantity {
		return events.InvalidField("quantity", "must be 1 to %d", int64(events.MaxQuantity))
	}
	return events.Token("sku", l.SKU)
}

// Normal is described at Command.
func (c RefundOrder) Normal() (RefundOrder, error) {
	c.Reason = events.NormalText(c.Reason)
	if c.Reason == "" {
		return c, nil
	}
	return c, events.Visible("reason", c.Reason)
}

func (RetryRefund) CommandName() string { return "orders.retry_refund" }
func (c RetryRefund) EntityID() string  { return string(c.OrderID) }
func (c RetryRefund) Check() error {
	return events.FirstOf(events.Token("order_id", c.OrderID), events.Token("refund_id", c.RefundID))
}
