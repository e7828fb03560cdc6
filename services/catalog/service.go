// Package catalog says what the shop sells, and for how much.
package catalog

import (
	"lonja/events"
	"lonja/events/query"
	"lonja/kit/decider"
	"lonja/kit/projection"
	"lonja/kit/service"
)

// New is the catalog service: all that it does.
func New() *service.Service {
	products := decider.New(productKind)
	shelf := projection.New(shelfDefinition)
	return &service.Service{
		Name:  "catalog",
		Views: []*projection.View{shelf},
		Commands: []service.Command{
			service.Handle(products, create).UniqueIn(shelf).Reply(show),
			service.Handle(products, change).Reply(show),
			service.Handle(products, archive).Reply(show),
		},
		Queries: []service.Query{
			service.Answer(shelf, findProduct(shelf)).About(productKind.Stream, func(q query.Product) string { return productKind.Filter(string(q.SKU)) }),
			service.Answer(shelf, listProducts(shelf)),
		},
	}
}

// show is a product as every answer shows it.
func show(p product, _ events.Event) any {
	return query.ProductView{Product: p.Product, Available: p.status == listed, CreatedAt: p.createdAt, UpdatedAt: p.updatedAt}
}
