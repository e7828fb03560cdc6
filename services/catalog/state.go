package catalog

import (
	"time"

	"lonja/events"
	"lonja/kit/decider"
)

// product is the state of one SKU, on which its commands are decided.
type product struct {
	events.Product
	status    status
	createdAt time.Time
	updatedAt time.Time
}

type status int

const (
	unknown status = iota // never created
	listed
	archived
)

var productType = decider.EntityType[product]{Subject: "events.product", Stream: "CATALOG", Evolve: evolve}

func evolve(p product, event events.Event, at time.Time) product {
	switch e := event.(type) {
	case events.ProductCreated:
		p.Product, p.status, p.createdAt = e.Product, listed, at
	case events.ProductChanged:
		p.Product = e.Product
	case events.ProductArchived:
		p.status = archived
	case events.ProductRestored:
		p.Product, p.status = e.Product, listed
	}
	p.updatedAt = at
	return p
}
