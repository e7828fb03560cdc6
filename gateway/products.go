package gateway

import (
	"lonja/events"
	"lonja/events/command"
	"lonja/events/query"
	"lonja/kit/httpapi"
)

// Paging are the query parameters that select a page of a list.
type Paging struct {
	Page  int    `query:"page" minimum:"1" maximum:"1000000" doc:"The number of the page; 1 without page and after. page times limit must be at most 10000: use after to go on"`
	Limit int    `query:"limit" minimum:"1" maximum:"100" default:"20"`
	After string `query:"after" doc:"meta.next of the page before, instead of page: entries that are added meanwhile move no others to another page. The filters must be the same, limit may differ"`
}

func (p Paging) page() query.Page {
	if p.After == "" {
		p.Page = max(1, p.Page)
	}
	return query.Page(p)
}

type productInput struct {
	SKU events.SKU `path:"sku"`
}

func createProduct(c *httpapi.Call, in *struct {
	httpapi.Payload[events.Product]
}) (*httpapi.Response, error) {
	product, err := in.Body(c)
	if err != nil {
		return nil, err
	}
	resp, err := c.SendAndRespond(command.CreateProduct{Product: product})
	if err != nil {
		return nil, err
	}
	return resp.Created("/api/products/" + string(product.SKU)), nil
}

type productSearch struct {
	Q        string `query:"q" doc:"Words to search for in names and descriptions, 200 characters at most; best match first"`
	Category string `query:"category" doc:"100 characters at most"`
	Paging
}

func listProducts(c *httpapi.Call, in *productSearch) (*httpapi.Response, error) {
	if err := events.FirstOf(events.Text("q", in.Q, 0, 200), events.Text("category", in.Category, 0, 100)); err != nil {
		return nil, err
	}
	return c.QueryAndRespond(query.Products{Q: in.Q, Category: in.Category, Page: in.page()})
}

func readProduct(c *httpapi.Call, in *productInput) (*httpapi.Response, error) {
	if err := checkID(in.SKU); err != nil {
		return nil, err
	}
	return c.QueryAndRespond(query.Product{SKU: in.SKU})
}

// productChange has the fields to change; nil leaves a field as it is.
type productChange struct {
	Name        *string       `json:"name,omitempty"`
	Price       *events.Money `json:"price,omitempty"`
	Description *string       `json:"description,omitempty"`
	Category    *string       `json:"category,omitempty"`
	ImageURL    *string       `json:"image_url,omitempty"`
	Available   *bool         `json:"available,omitempty" doc:"true restores an archived product; false archives it, and must be the only field"`
}

func changeProduct(c *httpapi.Call, in *struct {
	SKU events.SKU `path:"sku"`
	httpapi.Payload[productChange]
}) (*httpapi.Response, error) {
	if err := checkID(in.SKU); err != nil {
		return nil, err
	}
	change, err := in.Body(c)
	if err != nil {
		return nil, err
	}
	return c.SendAndRespond(command.ChangeProduct{SKU: in.SKU, Name: change.Name, Price: change.Price,
		Description: change.Description, Category: change.Category, ImageURL: change.ImageURL, Available: change.Available})
}

func archiveProduct(c *httpapi.Call, in *productInput) (*httpapi.Response, error) {
	if err := checkID(in.SKU); err != nil {
		return nil, err
	}
	resp, err := c.SendAndRespond(command.ArchiveProduct{SKU: in.SKU})
	if err != nil {
		return nil, err
	}
	return resp.NoContent(), nil
}
