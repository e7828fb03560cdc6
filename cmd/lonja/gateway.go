package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"lonja/gateway"
	"lonja/kit/bus"
	"lonja/kit/eventlog"
	"lonja/kit/httpapi"
	"lonja/kit/revocation"
	"lonja/shop"
)

// gatewayFlags are the flags that gateway and up share.
type gatewayFlags struct {
	MaxFollowers   int      `help:"Maximum number of clients that follow an order's status at once; 0 means 20000. Others get 503." default:"0"`
	MaxWaiting     int      `help:"Maximum number of requests that wait at once with Prefer: wait; 0 means 4000. Others get 503 and have no effect." default:"0"`
	TrustedProxies []string `help:"Addresses or networks, such as 10.0.0.0/8, of the proxies in front of the gateway. It trusts their X-Forwarded-For for the client's address, which logins are limited by." placeholder:"NETWORK"`
	StripeSecrets  string   `name:"stripe-webhook-secret-file" help:"File that holds the signing secrets of the webhook endpoint at Stripe, one a line. With it, the gateway takes Stripe's reports at /webhooks/stripe." type:"path" placeholder:"FILE"`
	ShopName       string   `help:"Name of the shop on receipts. Default: the host at which customers reach it."`
	ShopAddress    string   `help:"Address of the shop on receipts, such as \"1 Market Square, Leeds LS1 4AP\". Commas separate its lines."`
	CORSOrigin     []string `name:"cors-origin" help:"Origins whose pages may call the gateway, such as https://storefront.example. Separate several by commas or repeat the flag; * allows all. Default: none."`
}

func (f gatewayFlags) config() (gateway.Config, error) {
	config := gateway.Config{MaxFollowers: f.MaxFollowers, MaxWaiting: f.MaxWaiting, ShopName: f.ShopName, ShopAddress: f.ShopAddress, TrustedProxies: f.TrustedProxies, CORSOrigins: f.CORSOrigin}
	if f.StripeSecrets == "" {
		return config, nil
	}
	secrets, err := readSecret(f.StripeSecrets)
	if err == nil {
		config.StripeSecrets = strings.Fields(secrets)
		if err = gateway.CheckStripeSecrets(config.StripeSecrets); err == nil && len(config.StripeSecrets) == 0 {
			err = errors.New("the file is empty")
		}
	}
	if err != nil {
		return config, fmt.Errorf("--stripe-webhook-secret-file: %w", err)
	}
	return config, nil
}

type gatewayCommand struct {
	connection
	gatewayFlags
	HTTP      string        `name:"http" help:"Listen address; port 0 picks a free port." default:"127.0.0.1:8080"`
	Drain     time.Duration `help:"How long the gateway still answers after a stop signal, while /readyz/gateway returns 503." default:"1s"`
	PublicURL string        `name:"public-url" help:"URL at which customers reach the shop, such as https://shop.example. Required, because payment links begin with it."`
	Sandbox   bool          `help:"Serve the sandbox provider's pages, where anyone with a payment's link can settle it without money. The service payments needs the flag too."`
}

// Run serves until ctx ends. It does not wait for NATS, so that health checks are
// answered from the start; other requests get 503 until NATS is connected.
func (c *gatewayCommand) Run(ctx context.Context) error {
	limitMemory(ctx)
	if err := enoughFiles(filesOfPart); err != nil {
		return err
	}
	listener, err := listen("--http", c.HTTP)
	if err != nil {
		return err
	}
	defer listener.Close()
	config, err := c.gatewayFlags.config()
	if err != nil {
		return err
	}
	config.PublicURL, config.Sandbox = c.PublicURL, c.Sandbox
	started := make(chan struct{})
	close(started) // nothing else has to start
	return c.serve(ctx, listener, config, started)
}

// serve serves until ctx ends, then drains and finishes the requests under way.
// It prints the URLs, and prints "ready" once it is connected and started is closed.
func (c *gatewayCommand) serve(ctx context.Context, listener net.Listener, config gateway.Config, started <-chan struct{}) error {
	nc, connected, err := c.dialInBackground("gateway", "gateway")
	if err != nil {
		return err
	}
	defer nc.Close()
	log, logConnected, err := c.dialInBackground("gateway", "gateway-log")
	if err != nil {
		return err
	}
	defer log.Close()
	js, err := jetstream.New(log)
	if err != nil {
		return err
	}
	declared, err := streamsConfig()
	if err != nil {
		return err
	}
	client := bus.NewClientWith(nc, log)
	client.AwaitSync(c.synced())
	config.Client, config.Services, config.Logger, config.Registry = client, serviceNames, slog.Default(), metrics
	config.DeadLetters, config.Streams, config.Revoked = bus.NewDeadLetterQueue(eventlog.WithSync(js, c.synced())), declared, revocation.New(log)
	if config.AsyncAPI, err = shop.AsyncAPI(declared); err != nil {
		return err
	}
	handler, err := gateway.New(config)
	if err != nil {
		return err
	}
	origin := "http://" + listener.Addr().String()
	fmt.Println("shop     ", origin)
	fmt.Println("docs     ", origin+"/docs")
	go func() {
		for _, done := range []<-chan struct{}{connected, logConnected, started} {
			select {
			case <-done:
			case <-ctx.Done():
				return
			}
		}
		fmt.Printf("ready     after %v\n", time.Since(launched).Round(time.Millisecond))
	}()
	return httpapi.Serve(ctx, listener, handler, c.Drain)
}
