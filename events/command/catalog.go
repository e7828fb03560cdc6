package command

import "lonja/events"

// CreateProduct puts a new product into the catalogue. Staff only.
type CreateProduct struct{ events.Product }

// ChangeProduct changes the fields that are not nil. Staff only.
type ChangeProduct struct {
	SKU         events.SKU    `json:"sku"`
	Name        *string       `json:"name,omitempty"`
	Price       *events.Money `json:"price,omitempty"`
	Description *string       `json:"description,omitempty"`
	Category    *string       `json:"category,omitempty"`
	ImageURL    *string       `json:"image_url,omitempty"`
}

// ArchiveProduct takes a product off the shelves for good. Staff only.
type ArchiveProduct struct {
	SKU events.SKU `json:"sku"`
}

func (CreateProduct) Command() string    { return "catalog.create" }
func (c CreateProduct) EntityID() string { return string(c.SKU) }

func (ChangeProduct) Command() string    { return "catalog.change" }
func (c ChangeProduct) EntityID() string { return string(c.SKU) }

// Check looks at the SKU only: what results of a change is checked as a whole.
func (c ChangeProduct) Check() error { return events.Token("sku", c.SKU) }

func (ArchiveProduct) Command() string    { return "catalog.archive" }
func (c ArchiveProduct) EntityID() string { return string(c.SKU) }
func (c ArchiveProduct) Check() error     { return events.Token("sku", c.SKU) }
