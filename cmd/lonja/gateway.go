package main

import (
	"context"
	"fmt"
)

type gatewayCommand struct {
	connection
	HTTP      string `name:"http" help:"Where to listen; port 0 picks a free one." default:"127.0.0.1:8080"`
	PublicURL string `name:"public-url" help:"Where customers reach the gateway, such as https://shop.example; without it, whatever host they asked for."`
}

// Run serves until ctx ends.
func (c *gatewayCommand) Run(ctx context.Context) error {
	now := make(chan struct{})
	close(now)
	return c.serve(ctx, now)
}

// serve serves until ctx ends. It says that it is ready when started is closed.
func (c *gatewayCommand) serve(ctx context.Context, started <-chan struct{}) error {
	select {
	case <-started:
		fmt.Println("ready")
	case <-ctx.Done():
	}
	<-ctx.Done()
	return nil
}
