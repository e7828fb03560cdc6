package main

import (
	"fmt"
	"path/filepath"
	"strings"

	"lonja"
	"lonja/kit/natsauth"
	"lonja/shop"
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

// Run writes the configuration and says what to do with it.
func (c *natsConfigCommand) Run() error {
	config, err := streamsConfig()
	if err != nil {
		return err
	}
	written, err := natsauth.WriteConfig(natsauth.Config{
		Name: lonja.Name, Account: shop.Account, Dir: c.Out, Identities: shop.Identities(shopRules{}.config(), config), Servers: c.Servers, Store: c.Store, MaxStore: c.MaxStore, TLS: c.TLS,
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
	say("made", written.Created)
	say("kept", written.Kept)
	say("old too", written.Rotating)
	fmt.Printf("%-9s %s\n", "keys", filepath.Join(c.Out, "keys", "IDENTITY", "seed"))
	for _, s := range c.Servers {
		fmt.Printf("%-9s nats-server -c %s\n", "start", filepath.Join(c.Out, s+".conf"))
	}
	return nil
}
