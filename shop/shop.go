// Package shop lists the services of the shop. It is the only list: programs and tests that
// need all services, their names, or the NATS identities with their permissions use it.
//
//	services := shop.All(shop.Config{Identity: identity.Config{AdminPassword: password}})
//
// It starts nothing. Each service is run with service.Run, once.
package shop

import (
	"maps"
	"slices"

	"lonja/kit/service"
	"lonja/services/catalog"
	"lonja/services/identity"
	"lonja/services/inventory"
	"lonja/services/orders"
	"lonja/services/payments"
	"lonja/services/receipts"
)

// Config configures the services that have a configuration. The zero Config works for all but
// identity, which needs AdminPassword or Announce.
type Config struct {
	Identity  identity.Config
	Inventory inventory.Config
	Orders    orders.Config
	Payments  payments.Config
}

// Services returns the constructor of each service, by the service's name. Each call of a
// constructor returns a new service, since a service runs only once. The constructor of
// identity panics when its configuration has neither AdminPassword nor Announce.
func Services(c Config) map[string]func() *service.Service {
	return map[string]func() *service.Service{
		"catalog":   catalog.New,
		"identity":  func() *service.Service { return identity.New(c.Identity) },
		"inventory": func() *service.Service { return inventory.New(c.Inventory) },
		"orders":    func() *service.Service { return orders.New(c.Orders) },
		"payments":  func() *service.Service { return payments.New(c.Payments) },
		"receipts":  func() *service.Service { return receipts.New(receipts.Config{}) },
	}
}

// All returns a new service of each kind, sorted by name. It panics as the constructors of
// Services do.
func All(c Config) []*service.Service {
	constructors := Services(c)
	all := make([]*service.Service, 0, len(constructors))
	for _, name := range Names() {
		all = append(all, constructors[name]())
	}
	return all
}

// Names returns the names of all services, sorted.
func Names() []string { return slices.Sorted(maps.Keys(Services(Config{}))) }
