package command

import "lonja/events"

// CreateProduct puts a new product into the catalogue. Staff only.
type CreateProduct struct{ events.Product }

// ChangeProduct changes the fields that are not nil. Staff only. Available, when
// true, brings an archived product back, which nothing else can change before; when
// false it archives the product and stands alone.
type ChangeProduct struct {
	SKU         events.SKU    `json:"sku"`
	Name        *string       `json:"name,omitempty"`
	Price       *events.Money `json:"price,omitempty"`
	Description *string       `json:"description,omitempty"`
	Category    *string       `json:"category,omitempty"`
	ImageURL    *string       `json:"image_url,omitempty"`
	Available   *bool         `json:"available,omitempty"`
}

// ArchiveProduct takes a product off the shelves. Staff only.
type ArchiveProduct struct {
	SKU events.SKU `json:"sku"`
}

func (CreateProduct) CommandName() string { return "catalog.create" }
func (c CreateProduct) EntityID() string  { return string(c.SKU) }

// Normal: see Command.
func (c CreateProduct) Normal() (CreateProduct, error) {
	c.Product = c.Product.Normal()
	return c, c.CheckNew()
}

func (ChangeProduct) CommandName() string { return "catalog.change" }
func (c ChangeProduct) EntityID() string  { return string(c.SKU) }

// Check looks at the SKU, and at what cannot be asked for at once: what results of
// a change is checked as a whole.
func (c ChangeProduct) Check() error {
	if c.Archives() && c != (ChangeProduct{SKU: c.SKU, Available: c.Available}) {
		return events.Wrong("available", "must stand alone when it is false: it archives the product")
	}
	return events.Token("sku", c.SKU)
}

// Archives reports whether the product is to be archived.
func (c ChangeProduct) Archives() bool { return c.Available != nil && !*c.Available }

// Normal: see Command. It says nothing of what is not changed.
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
