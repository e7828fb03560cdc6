package gateway

import (
	"net/http"

	"lonja/events"
	"lonja/events/command"
	"lonja/events/query"
)

// Paging is which part of a list is wanted.
type Paging struct {
	Page  int `query:"page" minimum:"1" maximum:"1000000" default:"1"`
	Limit int `query:"limit" minimum:"1" maximum:"100" default:"20"`
}

func (p Paging) page() query.Page { return query.Page{Page: p.Page, Limit: p.Limit} }

type productInput struct {
	SKU events.SKU `path:"sku"`
}

func createProduct(c *call, in *struct{ payload[events.Product] }) (*answer, error) {
	product, err := in.decode(c)
	if err != nil {
		return nil, err
	}
	a, err := c.do(command.CreateProduct{Product: product})
	if err != nil {
		return nil, err
	}
	a.Status, a.Location = http.StatusCreated, "/api/products/"+string(product.SKU)
	return a, nil
}

type productSearch struct {
	Q        string `query:"q" doc:"Words to look for in names and descriptions, 200 characters at most; best match first"`
	Category string `query:"category" doc:"100 characters at most"`
	Paging
}

func listProducts(c *call, in *productSearch) (*answer, error) {
	if err := events.FirstOf(events.Text("q", in.Q, 0, 200), events.Text("category", in.Category, 0, 100)); err != nil {
		return nil, err
	}
	return c.ask(query.Products{Q: in.Q, Category: in.Category, Page: in.page()})
}

func readProduct(c *call, in *productInput) (*answer, error) {
	if err := known(in.SKU); err != nil {
		return nil, err
	}
	return c.ask(query.Product{SKU: in.SKU})
}

// productChange leaves out what stays as it is.
type productChange struct {
	Name        *string       `json:"name,omitempty"`
	Price       *events.Money `json:"price,omitempty"`
	Description *string       `json:"description,omitempty"`
	Category    *string       `json:"category,omitempty"`
	ImageURL    *string       `json:"image_url,omitempty"`
	Available   *bool         `json:"available,omitempty" doc:"true brings an archived product back; false, which stands alone, archives it"`
}

func changeProduct(c *call, in *struct {
	SKU events.SKU `path:"sku"`
	payload[productChange]
}) (*answer, error) {
	if err := known(in.SKU); err != nil {
		return nil, err
	}
	to, err := in.decode(c)
	if err != nil {
		return nil, err
	}
	return c.do(command.ChangeProduct{SKU: in.SKU, Name: to.Name, Price: to.Price,
		Description: to.Description, Category: to.Category, ImageURL: to.ImageURL, Available: to.Available})
}

func archiveProduct(c *call, in *productInput) (*answer, error) {
	if err := known(in.SKU); err != nil {
		return nil, err
	}
	a, err := c.do(command.ArchiveProduct{SKU: in.SKU})
	if err != nil {
		return nil, err
	}
	return a.noContent(), nil
}
