package command

import "lonja/events"

// CreateProduct adds a product to the catalogue. Staff only.
type CreateProduct struct{ events.Product }

// ChangeProduct changes the fields that are not nil. Staff only. Available, when true,
// restores an archived product, which cannot be changed otherwise. When false, it archives
// the product, and no other field may be set.
type ChangeProduct struct {
	SKU         events.SKU    `json:"sku"`
	Name        *string       `json:"name,omitempty"`
	Price       *events.Money `json:"price,omitempty"`
	Description *string       `json:"description,omitempty"`
	Category    *string       `json:"category,omitempty"`
	ImageURL    *string       `json:"image_url,omitempty"`
	Available   *bool         `json:"available,omitempty"`
}

// ArchiveProduct takes a product out of the catalogue, until it is restored. Staff only.
type ArchiveProduct struct {
	SKU events.SKU `json:"sku"`
}

func (CreateProduct) CommandName() string { return "catalog.create" }
func (c CreateProduct) EntityID() string  { return string(c.SKU) }

// Normal is described at Command.
func (c CreateProduct) Normal() (CreateProduct, error) {
	c.Product = c.Product.Normal()
	return c, c.CheckNew()
}

func (ChangeProduct) CommandName() string { return "catalog.change" }
func (c ChangeProduct) EntityID() string  { return string(c.SKU) }

// Check checks the SKU, and that archiving is not combined with a change. The product that
// results from a change is checked when the command is decided.
func (c ChangeProduct) Check() error {
	if c.Archives() && c != (ChangeProduct{SKU: c.SKU, Available: c.Available}) {
		return events.InvalidField("available", "must be the only field when it is false: it archives the product")
	}
	return events.Token("sku", c.SKU)
}

// Archives reports whether the command archives the product.
func (c ChangeProduct) Archives() bool { return c.Available != nil && !*c.Available }

// Normal is described at Command. It checks only the fields that change.
func (c ChangeProduct) Normal() (ChangeProduct, error) {
	var changed events.Product
	for field, to := range map[*string]**string{&changed.Name: &c.Name, &changed.Description: &c.Description,
		&changed.Category: &c.Category, &changed.ImageURL: &c.ImageURL} {
		if *to != nil {
			*field = events.NormalText(**to)
			*to = field
		}
	}
	return c, changed.CheckNew()
}

func (ArchiveProduct) CommandName() string { return "catalog.archive" }
func (c ArchiveProduct) EntityID() string  { return string(c.SKU) }
func (c ArchiveProduct) Check() error      { return events.Token("sku", c.SKU) }
