package events

// Product describes a SKU in the catalogue.
type Product struct {
	SKU         SKU    `json:"sku"`
	Name        string `json:"name"`
	Price       Money  `json:"price"`
	Description string `json:"description,omitempty"`
	Category    string `json:"category,omitempty"`
	ImageURL    string `json:"image_url,omitempty"`
}

// Check returns a *FieldError about the first invalid field, or nil.
func (p Product) Check() error {
	return FirstOf(
		Token("sku", p.SKU),
		Text("name", p.Name, 1, 200),
		p.Price.Check("price"),
		Text("description", p.Description, 0, 10_000),
		Text("category", p.Category, 0, 100),
		Text("image_url", p.ImageURL, 0, 2_000),
	)
}

// Normal returns the product with its texts in their normal form; see NormalText.
func (p Product) Normal() Product {
	p.Name, p.Description, p.Category = NormalText(p.Name), NormalText(p.Description), NormalText(p.Category)
	return p
}

// CheckNew checks what Check does not: that no name is misleading and that the image is a web
// address. It is for new values only, since the log may hold others. The error is a
// *FieldError.
func (p Product) CheckNew() error {
	return FirstOf(Visible("name", p.Name), Visible("category", p.Category), WebAddress("image_url", p.ImageURL))
}

// ProductCreated is recorded when a product is added to the catalogue.
type ProductCreated struct{ Product }

// ProductChanged is recorded when a product changes. It carries the whole new product.
type ProductChanged struct{ Product }

// ProductArchived is recorded when a product is taken out of the catalogue. It is no longer
// listed and cannot be ordered, but can still be read, and can be restored.
type ProductArchived struct {
	SKU SKU `json:"sku"`
}

// ProductRestored is recorded when an archived product is listed again. It carries the whole
// new product.
type ProductRestored struct{ Product }

func (ProductCreated) EventName() string  { return "product.created.v1" }
func (e ProductCreated) EntityID() string { return string(e.SKU) }

func (ProductChanged) EventName() string  { return "product.changed.v1" }
func (e ProductChanged) EntityID() string { return string(e.SKU) }

func (ProductArchived) EventName() string  { return "product.archived.v1" }
func (e ProductArchived) EntityID() string { return string(e.SKU) }
func (e ProductArchived) Check() error     { return Token("sku", e.SKU) }

func (ProductRestored) EventName() string  { return "product.restored.v1" }
func (e ProductRestored) EntityID() string { return string(e.SKU) }
