package command

import "lonja/events"

// CountStock sets what is on hand of a product of the catalogue, after somebody
// counted. Staff only.
type CountStock struct {
	SKU    events.SKU `json:"sku"`
	OnHand int64      `json:"on_hand"`
}

// AdjustStock adds Delta pieces to what is on hand of a product of the catalogue,
// or takes them when it is negative. Staff only.
type AdjustStock struct {
	SKU    events.SKU `json:"sku"`
	Delta  int64      `json:"delta"`
	Reason string     `json:"reason"`
}

func (CountStock) CommandName() string { return "inventory.count" }
func (CountStock) EntityID() string    { return string(events.MainLocation) }
func (c CountStock) Check() error {
	if c.OnHand < 0 || c.OnHand > events.MaxQuantity {
		return events.Wrong("on_hand", "must be 0 to %d", int64(events.MaxQuantity))
	}
	return events.Token("sku", c.SKU)
}

func (AdjustStock) CommandName() string { return "inventory.adjust" }
func (AdjustStock) EntityID() string    { return string(events.MainLocation) }
func (c AdjustStock) Check() error {
	if c.Delta == 0 || c.Delta < -events.MaxQuantity || c.Delta > events.MaxQuantity {
		return events.Wrong("delta", "must be 1 to %d pieces, more or less", int64(events.MaxQuantity))
	}
	return events.FirstOf(events.Token("sku", c.SKU), events.Text("reason", c.Reason, 1, 200))
}

// Normal: see Command.
func (c AdjustStock) Normal() (AdjustStock, error) {
	c.Reason = events.NormalText(c.Reason)
	return c, events.Visible("reason", c.Reason)
}
