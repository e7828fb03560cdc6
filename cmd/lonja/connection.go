package main

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// connection is how a process reaches NATS.
type connection struct {
	NATS string `name:"nats" help:"URL of the NATS server." default:"nats://127.0.0.1:4222"`
}

// dial connects, and waits for a server that is not there yet. Once connected,
// the connection comes back by itself for ever.
func (c connection) dial(ctx context.Context, name string) (*nats.Conn, error) {
	for wait := 100 * time.Millisecond; ; wait = min(2*wait, 2*time.Second) {
		nc, err := nats.Connect(c.NATS, nats.Name(name), nats.MaxReconnects(-1), nats.ReconnectWait(100*time.Millisecond),
			nats.PingInterval(5*time.Second), nats.MaxPingsOutstanding(2)) // a server that hangs is left for another one
		if err == nil {
			return nc, nil
		}
		slog.Warn("waiting for NATS", "url", c.NATS, "reason", err)
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("NATS at %s: %w", c.NATS, err)
		case <-time.After(wait):
		}
	}
}

// withJetStream calls use with a connection that is closed afterwards.
func (c connection) withJetStream(ctx context.Context, name string, use func(jetstream.JetStream) error) error {
	nc, err := nats.Connect(c.NATS, nats.Name(name))
	if err != nil {
		return fmt.Errorf("NATS at %s: %w", c.NATS, err)
	}
	defer nc.Close()
	js, err := jetstream.New(nc)
	if err != nil {
		return err
	}
	return use(js)
}
