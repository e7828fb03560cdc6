// Package shop lists the services of the shop. Programs and tests that need all of
// them, or their names, ask here.
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
)

// Config configures the services that can be configured. The zero Config is enough
// for all but identity, which needs AdminPassword or Announce.
type Config struct {
	Identity  identity.Config
	Inventory inventory.Config
	Payments  payments.Config
}

// Services returns what makes each service, by the service's name. Each call of such
// a function makes a new service, for a service runs only once. Identity's panics
// when its configuration has neither AdminPassword nor Announce.
func Services(c Config) map[string]func() *service.Service {
	return map[string]func() *service.Service{
		"catalog":   catalog.New,
		"identity":  func() *service.Service { return identity.New(c.Identity) },
		"inventory": func() *service.Service { return inventory.New(c.Inventory) },
		"orders":    orders.New,
		"payments":  func() *service.Service { return payments.New(c.Payments) },
	}
}

// All makes one service of each, sorted by name. It panics as Services' functions do.
func All(c Config) []*service.Service {
	fresh := Services(c)
	all := make([]*service.Service, 0, len(fresh))
	for _, name := range Names() {
		all = append(all, fresh[name]())
	}
	return all
}

// Names returns the names of all services, sorted.
func Names() []string { return slices.Sorted(maps.Keys(Services(Config{}))) }
