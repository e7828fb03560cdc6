package main

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"lonja/gateway"
	"lonja/kit/bus"
	"lonja/kit/httpapi"
	"lonja/kit/revocation"
	"lonja/shop"
)

// fronting are the flags of a gateway that the whole shop in one process has, too.
type fronting struct {
	MaxFollowers   int      `help:"How many may follow an order's statuses at once; 0 means 20000. More get 503." default:"0"`
	MaxWaiting     int      `help:"How many may wait at once with Prefer: wait; 0 means 4000. More get 503, and order nothing." default:"0"`
	TrustedProxies []string `help:"Addresses, and networks such as 10.0.0.0/8, of the proxies before the gateway: their X-Forwarded-For says where a request comes from, by which logins are slowed down." placeholder:"NETWORK"`
	CORSOrigin     []string `name:"cors-origin" help:"Origins of other sites whose pages may call the gateway, such as https://storefront.example, with commas between or the flag again; * means all. None may without it."`
}

func (f fronting) config() gateway.Config {
	return gateway.Config{MaxFollowers: f.MaxFollowers, MaxWaiting: f.MaxWaiting, TrustedProxies: f.TrustedProxies, CORSOrigins: f.CORSOrigin}
}

type gatewayCommand struct {
	connection
	fronting
	HTTP      string        `name:"http" help:"Where to listen; port 0 picks a free one." default:"127.0.0.1:8080"`
	Drain     time.Duration `help:"How long it still answers after it was told to stop, while /readyz/gateway says 503." default:"1s"`
	PublicURL string        `name:"public-url" help:"Where customers reach the shop, such as https://shop.example. Required: addresses to pay at begin with it."`
	Sandbox   bool          `help:"Serve the sandbox provider's pages, where whoever has a payment's link pays for nothing. The service payments needs the flag, too."`
}

// Run serves until ctx ends. It does not wait for NATS: whoever looks after the
// process must hear from it, and customers get 503 meanwhile.
func (c *gatewayCommand) Run(ctx context.Context) error {
	if err := enoughFiles(filesOfPart); err != nil {
		return err
	}
	listener, err := listen("--http", c.HTTP)
	if err != nil {
		return err
	}
	defer listener.Close()
	config := c.fronting.config()
	config.PublicURL, config.Sandbox = c.PublicURL, c.Sandbox
	started := make(chan struct{})
	close(started) // nothing else is to start
	return c.serve(ctx, listener, config, started)
}

// serve serves until ctx ends, then drains and finishes the requests under way.
// It prints where everything is, and says that it is ready once it is connected
// and started is closed.
func (c *gatewayCommand) serve(ctx context.Context, listener net.Listener, config gateway.Config, started <-chan struct{}) error {
	nc, connected, err := c.dialLater("gateway", "gateway")
	if err != nil {
		return err
	}
	defer nc.Close()
	log, logConnected, err := c.dialLater("gateway", "gateway-log")
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
	config.Client, config.Services, config.Logger, config.Registry = bus.NewClientWith(nc, log), serviceNames, slog.Default(), metrics
	config.DeadLetters, config.Streams, config.Revoked = bus.NewDeadLetterQueue(js), declared, revocation.New(log)
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
