package shop

import (
	"lonja/kit/bus"
	"lonja/kit/natsauth"
	"lonja/kit/revocation"
	"lonja/kit/service"
	"lonja/kit/streams"
)

// Account is the account of all identities on a NATS server of the shop.
const Account = "SHOP"

// Operator is the identity of whoever runs the shop, who may do everything.
const Operator = service.Operator

// Identities are all that may connect to the shop's NATS servers, each with exactly
// what it needs: services and gateway by what the services declare, the operator
// everything, and an observer who may look at what is not private. It panics as
// All does.
func Identities(c Config, config *streams.Config) []natsauth.Identity {
	services := All(c)
	gateway := service.ClientPermissions(services, config)
	gateway.Add(natsauth.AllowInbox("gateway"), bus.PermissionsForDeadLetters(), revocation.PermissionsToFollow())
	observer := config.ObserverPermissions()
	observer.Add(natsauth.AllowInbox("observer"))
	all := []natsauth.Identity{
		{Name: Operator, Permissions: natsauth.AllowAll()},
		{Name: "observer", Permissions: observer},
		{Name: "gateway", Permissions: gateway},
	}
	for _, s := range services {
		all = append(all, natsauth.Identity{Name: s.Name, Permissions: s.Permissions(config)})
	}
	return all
}
