package command

import "lonja/events"

// CountStock sets how many pieces of a product are on hand, as staff counted them. Staff only.
type CountStock struct {
	SKU    events.SKU `json:"sku"`
	OnHand int64      `json:"on_hand" minimum:"0" maximum:"1000000000"`
}

// AdjustStock adds Delta pieces of a product to what is on hand, or removes them when it is
// negative. Staff only.
type AdjustStock struct {
	SKU    events.SKU `json:"sku"`
	Delta  int64      `json:"delta" minimum:"-1000000000" maximum:"1000000000"`
	Reason string     `json:"reason" minLength:"1"`
}

func (CountStock) CommandName() string { return "inventory.count" }
func (CountStock) EntityID() string    { return string(events.MainLocation) }
func (c CountStock) Check() error {
	if c.OnHand < 0 || c.OnHand > events.MaxQuantity {
		return events.InvalidField("on_hand", "must be 0 to %d", int64(events.MaxQuantity))
	}
	return events.Token("sku", c.SKU)
}

func (AdjustStock) CommandName() string { return "inventory.adjust" }
func (AdjustStock) EntityID() string    { return string(events.MainLocation) }
func (c AdjustStock) Check() error {
	if c.Delta == 0 || c.Delta < -events.MaxQuantity || c.Delta > events.MaxQuantity {
		return events.InvalidField("delta", "must be between %d and %d, and not 0", -int64(events.MaxQuantity), int64(events.MaxQuantity))
	}
	return events.FirstOf(events.Token("sku", c.SKU), events.Text("reason", c.Reason, 1, 200))
}

// Normal is described at Command.
func (c AdjustStock) Normal() (AdjustStock, error) {
	c.Reason = events.NormalText(c.Reason)
	return c, events.Visible("reason", c.Reason)
}
