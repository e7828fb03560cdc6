package gateway

import (
	"lonja/events"
	"lonja/events/command"
	"lonja/events/query"
	"lonja/kit/httpapi"
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

func createProduct(c *httpapi.Call, in *struct {
	httpapi.Payload[events.Product]
}) (*httpapi.Answer, error) {
	product, err := in.Body(c)
	if err != nil {
		return nil, err
	}
	a, err := c.Do(command.CreateProduct{Product: product})
	if err != nil {
		return nil, err
	}
	return a.Created("/api/products/" + string(product.SKU)), nil
}

type productSearch struct {
	Q        string `query:"q" doc:"Words to look for in names and descriptions, 200 characters at most; best match first"`
	Category string `query:"category" doc:"100 characters at most"`
	Paging
}

func listProducts(c *httpapi.Call, in *productSearch) (*httpapi.Answer, error) {
	if err := events.FirstOf(events.Text("q", in.Q, 0, 200), events.Text("category", in.Category, 0, 100)); err != nil {
		return nil, err
	}
	return c.Ask(query.Products{Q: in.Q, Category: in.Category, Page: in.page()})
}

func readProduct(c *httpapi.Call, in *productInput) (*httpapi.Answer, error) {
	if err := known(in.SKU); err != nil {
		return nil, err
	}
	return c.Ask(query.Product{SKU: in.SKU})
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

func changeProduct(c *httpapi.Call, in *struct {
	SKU events.SKU `path:"sku"`
	httpapi.Payload[productChange]
}) (*httpapi.Answer, error) {
	if err := known(in.SKU); err != nil {
		return nil, err
	}
	to, err := in.Body(c)
	if err != nil {
		return nil, err
	}
	return c.Do(command.ChangeProduct{SKU: in.SKU, Name: to.Name, Price: to.Price,
		Description: to.Description, Category: to.Category, ImageURL: to.ImageURL, Available: to.Available})
}

func archiveProduct(c *httpapi.Call, in *productInput) (*httpapi.Answer, error) {
	if err := known(in.SKU); err != nil {
		return nil, err
	}
	a, err := c.Do(command.ArchiveProduct{SKU: in.SKU})
	if err != nil {
		return nil, err
	}
	return a.NoContent(), nil
}
