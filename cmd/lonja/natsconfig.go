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
	partitionsFlag
	Out      string   `help:"Output folder." required:"" type:"path"`
	Servers  []string `help:"Host names of the servers. Several make a cluster." default:"nats"`
	Store    string   `help:"Folder for the streams on the servers." default:"/data"`
	MaxStore string   `help:"Maximum size of a server's store. It must be less than the size of its disk." default:"10GB"`
	TLS      bool     `name:"tls" help:"Encrypt connections. A new authority signs the certificates; clients need --nats-ca OUT/tls/ca.pem."`
	Rotate   []string `help:"Identities that get a new key. The old key works until it is retired." placeholder:"IDENTITY"`
	Retire   []string `help:"Identities whose old key stops working." placeholder:"IDENTITY"`
}

// Run writes the configuration and prints how to use it.
func (c *natsConfigCommand) Run() error {
	config, err := streamsConfig()
	if err != nil {
		return err
	}
	if config, err = config.WithWanted(c.Partitions); err != nil {
		return err
	}
	written, err := natsauth.WriteConfig(natsauth.Config{
		Name: lonja.Name, Account: shop.Account, Dir: c.Out, Identities: shop.Identities(shopRules{}.config(), config), Servers: c.Servers, Store: c.Store, MaxStore: c.MaxStore, TLS: c.TLS,
		Rotate: c.Rotate, Retire: c.Retire,
	})
	if err != nil {
		return err
	}
	printNames := func(what string, names []string) {
		if len(names) > 0 {
			fmt.Printf("%-9s %s\n", what, strings.Join(names, ", "))
		}
	}
	printNames("made", written.Created)
	printNames("kept", written.Kept)
	printNames("old too", written.Rotating)
	fmt.Printf("%-9s %s\n", "keys", filepath.Join(c.Out, "keys", "IDENTITY", "seed"))
	for _, s := range c.Servers {
		fmt.Printf("%-9s nats-server -c %s\n", "start", filepath.Join(c.Out, s+".conf"))
	}
	return nil
}
