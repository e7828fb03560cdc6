package main

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"lonja/gateway"
	"lonja/internal/client"
	"lonja/internal/deadletter"
	"lonja/internal/revocation"
)

// proxying says who stands before a gateway.
type proxying struct {
	TrustedProxies []string `help:"Addresses, and networks such as 10.0.0.0/8, of the proxies before the gateway: their X-Forwarded-For says where a request comes from, by which logins are slowed down." placeholder:"NETWORK"`
}

type gatewayCommand struct {
	connection
	HTTP  string        `name:"http" help:"Where to listen; port 0 picks a free one." default:"127.0.0.1:8080"`
	Drain time.Duration `help:"How long it still answers after it was told to stop, while /readyz/gateway says 503." default:"1s"`
	waitingBounds
	proxying
	PublicURL string `name:"public-url" help:"Where customers reach the gateway, such as https://shop.example; without it, whatever host they asked for."`

	store func() context.Context // see gateway.Config
}

// waitingBounds are the flags that bound those who wait at a gateway.
type waitingBounds struct {
	MaxFollowers int `help:"How many may follow an order's statuses at once; 0 means 20000. More get 503." default:"0"`
	MaxWaiting   int `help:"How many may wait at once with Prefer: wait; 0 means 4000. More get 503, and order nothing." default:"0"`
}

// Run serves until ctx ends. It does not wait for NATS: whoever looks after the
// process must hear from it, and customers get 503 meanwhile.
func (c *gatewayCommand) Run(ctx context.Context) error {
	listener, err := listen("--http", c.HTTP)
	if err != nil {
		return err
	}
	defer listener.Close()
	return c.serve(ctx, listener, nil)
}

// serve serves until ctx ends, then drains and finishes the requests under way.
// It prints where everything is, and says that it is ready once it is connected
// and started, unless that is nil, is closed.
func (c *gatewayCommand) serve(ctx context.Context, listener net.Listener, started <-chan struct{}) error {
	nc, connected, err := c.dialLater("gateway", "gateway")
	if err != nil {
		return err
	}
	defer nc.Close()
	if started == nil {
		started = connected
	}
	js, err := jetstream.New(nc)
	if err != nil {
		return err
	}
	config, err := streamsConfig()
	if err != nil {
		return err
	}
	handler, err := gateway.New(gateway.Config{
		Client: client.New(nc), Revoked: revocation.New(nc), PublicURL: c.PublicURL, TrustedProxies: c.TrustedProxies, Services: serviceNames,
		MaxFollowers: c.MaxFollowers, MaxWaiting: c.MaxWaiting,
		Letters: deadletter.New(js), Streams: config, Logger: slog.Default(), Registry: metrics, Store: c.store,
	})
	if err != nil {
		return err
	}
	shop := "http://" + listener.Addr().String()
	fmt.Println("shop     ", shop)
	fmt.Println("docs     ", shop+"/docs")
	go func() {
		select {
		case <-started:
			fmt.Printf("ready     after %v\n", time.Since(launched).Round(time.Millisecond))
		case <-ctx.Done():
		}
	}()
	return gateway.Serve(ctx, listener, handler, c.Drain)
}
