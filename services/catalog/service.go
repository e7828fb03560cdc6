// Package catalog is the service that owns the products: what the shop sells and at
// which price.
//
// It records on the stream CATALOG, which anyone may read, and reacts to nothing. It
// guarantees:
//
//   - A SKU is created at most once, and never removed: an archived product can still be
//     read and can be restored.
//   - An event about a product carries the whole product, so a reader needs no earlier one.
//   - A command id creates one product. The same id with another SKU is rejected, also
//     after the stream's duplicate window.
//
// The files are the same in every service: service.go lists what the service does,
// state.go holds the entities and how events change them, decide.go the decisions about
// commands, reactions.go those about other services' events, lookups.go what a decision
// reads besides its entity, view.go the read model, and queries.go the answers from it. A
// service that has no such part has no such file. Other files are a service's own, and
// its package comment lists them.
package catalog

import (
	"lonja/events"
	"lonja/events/query"
	"lonja/kit/decider"
	"lonja/kit/projection"
	"lonja/kit/service"
)

// New returns a catalog service that has not started. It runs once.
func New() *service.Service {
	products := decider.New(productType)
	productsView := projection.New(productsDefinition)
	products.RememberIn(productsView)
	return &service.Service{
		Name:  "catalog",
		Views: []*projection.View{productsView},
		Commands: []service.Command{
			service.Handle(products, create).UniqueIDIn(productsView).Reply(reply),
			service.Handle(products, change).Reply(reply),
			service.Handle(products, archive).Reply(reply),
		},
		Queries: []service.Query{
			service.Answer(productsView, findProduct(productsView)).ForEntity(productType.Stream, func(q query.Product) string { return productType.Filter(string(q.SKU)) }),
			service.Answer(productsView, listProducts(productsView)),
		},
	}
}

// reply is the answer to every command: the product after it.
func reply(p product, _ events.Event) any {
	return query.ProductView{Product: p.Product, Available: p.status == listed, CreatedAt: p.createdAt, UpdatedAt: p.updatedAt}
}
