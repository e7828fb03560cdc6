package events

// Product is what the catalogue says of a SKU.
type Product struct {
	SKU         SKU    `json:"sku"`
	Name        string `json:"name"`
	Price       Money  `json:"price"`
	Description string `json:"description,omitempty"`
	Category    string `json:"category,omitempty"`
	ImageURL    string `json:"image_url,omitempty"`
}

// Check is an error that names the first field that is wrong.
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

// Normal is the product with its texts in their normal form.
func (p Product) Normal() Product {
	p.Name, p.Description, p.Category = NormalText(p.Name), NormalText(p.Description), NormalText(p.Category)
	return p
}

// CheckNew is asked of what is new of a product, besides Check: it is an error
// when a name misleads or the picture is no address on the web. The log may hold others.
func (p Product) CheckNew() error {
	return FirstOf(Visible("name", p.Name), Visible("category", p.Category), WebAddress("image_url", p.ImageURL))
}

// ProductCreated begins a product's life in the catalogue.
type ProductCreated struct{ Product }

// ProductChanged carries the whole product as it is from now on.
type ProductChanged struct{ Product }

// ProductArchived takes a product off the shelves: no longer listed or orderable,
// still readable, until it is restored.
type ProductArchived struct {
	SKU SKU `json:"sku"`
}

// ProductRestored puts an archived product back on the shelves. It carries the
// whole product as it is from now on.
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
