package main

import (
	"fmt"
	"path/filepath"
	"strings"

	"lonja"
	"lonja/kit/bus"
	"lonja/kit/natsauth"
	"lonja/kit/revocation"
	"lonja/kit/service"
	"lonja/kit/streams"
)

type natsConfigCommand struct {
	Out      string   `help:"Folder to write to." required:"" type:"path"`
	Servers  []string `help:"Names of the servers, which are their hosts' names, too; several make a cluster." default:"nats"`
	Store    string   `help:"Folder for the streams, on the servers." default:"/data"`
	MaxStore string   `help:"How much a server may store; it must be less than its disk holds." default:"10GB"`
	TLS      bool     `name:"tls" help:"Encrypt connections, with certificates of an authority that is made for it; clients get --nats-ca OUT/tls/ca.pem."`
	Rotate   []string `help:"Identities that get a new key. The one before works until it is retired." placeholder:"IDENTITY"`
	Retire   []string `help:"Identities whose key before the present one works no more." placeholder:"IDENTITY"`
}

// identities are all that may connect to the shop's NATS servers, each with
// exactly what it needs: services and gateway by what they declare, the operator
// everything, and an observer who can look at what is not private.
func identities(config *streams.Config) []natsauth.Identity {
	services := freshServices()
	gateway := service.ClientPermissions(services, config)
	gateway.Add(natsauth.AllowInbox("gateway"), bus.PermissionsForDeadLetters(), revocation.PermissionsToFollow())
	observer := config.ObserverPermissions()
	observer.Add(natsauth.AllowInbox("observer"))
	all := []natsauth.Identity{
		{Name: operator, Permissions: natsauth.AllowAll()},
		{Name: "observer", Permissions: observer},
		{Name: "gateway", Permissions: gateway},
	}
	for _, s := range services {
		all = append(all, natsauth.Identity{Name: s.Name, Permissions: s.Permissions(config)})
	}
	return all
}

// Run writes the configuration and says what to do with it.
func (c *natsConfigCommand) Run() error {
	config, err := streamsConfig()
	if err != nil {
		return err
	}
	written, err := natsauth.WriteConfig(natsauth.Config{
		Name: lonja.Name, Account: "SHOP", Dir: c.Out, Identities: identities(config), Servers: c.Servers, Store: c.Store, MaxStore: c.MaxStore, TLS: c.TLS,
		Rotate: c.Rotate, Retire: c.Retire,
	})
	if err != nil {
		return err
	}
	say := func(what string, names []string) {
		if len(names) > 0 {
			fmt.Printf("%-9s %s\n", what, strings.Join(names, ", "))
		}
	}
	say("made", written.Made)
	say("kept", written.Kept)
	say("old too", written.Old)
	fmt.Printf("%-9s %s\n", "keys", filepath.Join(c.Out, "keys", "IDENTITY", "seed"))
	for _, s := range c.Servers {
		fmt.Printf("%-9s nats-server -c %s\n", "start", filepath.Join(c.Out, s+".conf"))
	}
	return nil
}
