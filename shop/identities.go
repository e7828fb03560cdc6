package shop

import (
	"lonja/kit/bus"
	"lonja/kit/eventlog"
	"lonja/kit/natsauth"
	"lonja/kit/revocation"
	"lonja/kit/service"
	"lonja/kit/streams"
)

// Account is the name of the NATS account that all identities of the shop are in.
const Account = "SHOP"

// Operator is the name of the identity that runs the shop. It may do everything.
const Operator = service.Operator

// Identities returns the identities that may connect to the shop's NATS servers, with their
// permissions. A service and the gateway may do what the services declare and no more. The
// operator may do everything, and the observer may read every stream that is not private. It
// panics as All does.
func Identities(c Config, config *streams.Config) []natsauth.Identity {
	services := All(c)
	gateway := service.ClientPermissions(services, config)
	gateway.Add(natsauth.AllowInbox("gateway"), bus.PermissionsForDeadLetters(), revocation.PermissionsToFollow(), eventlog.PermissionsToAwaitSync())
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
