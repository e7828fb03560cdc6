package main

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"lonja/kit/natsauth"
	"lonja/kit/service"
)

// connection is how a process reaches NATS.
type connection struct {
	NATS string `name:"nats" help:"URL of the NATS server, or of several with commas between." default:"nats://127.0.0.1:4222"`
	Keys string `name:"nats-keys" help:"Folder of NKey seeds as nats-config and up --nats-auth write them, IDENTITY/seed; without it, no authentication." type:"path"`
	CA   string `name:"nats-ca" help:"PEM file of the authority that signed the server's certificate; it turns TLS on." type:"path"`
}

// options are how an identity connects, known to the server by a name.
func (c connection) options(identity, name string) ([]nats.Option, error) {
	options := []nats.Option{
		// Each connection has inboxes of its own, which those of another do not tell.
		nats.Name(name), nats.CustomInboxPrefix(natsauth.InboxPrefix(identity) + "." + rand.Text()),
		nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) {
			// Whoever publishes what they may not only sees that no answer comes.
			slog.Error("NATS reports an error", "connection", name, "error", err)
		}),
	}
	if c.Keys != "" {
		// The key is read once: when its file is replaced, the process goes on
		// with the one that it began with, until it is started again.
		key, err := natsauth.LoadKey(c.Keys, identity)
		if err != nil {
			return nil, fmt.Errorf("--nats-keys: %w", err)
		}
		public, err := key.PublicKey()
		if err != nil {
			return nil, fmt.Errorf("--nats-keys: %w", err)
		}
		options = append(options, nats.Nkey(public, key.Sign))
	}
	if c.CA != "" {
		options = append(options, nats.RootCAs(c.CA))
	}
	return options, nil
}

// lasting are the options of a connection that comes back by itself for ever.
func (c connection) lasting(identity, name string) ([]nats.Option, error) {
	options, err := c.options(identity, name)
	options = append(options, nats.MaxReconnects(-1), nats.ReconnectWait(100*time.Millisecond),
		nats.IgnoreAuthErrorAbort(),                                   // the server's configuration may be about to change
		nats.PingInterval(5*time.Second), nats.MaxPingsOutstanding(2)) // a server that hangs is left for another one
	return options, err
}

// where is the servers' URL as it may be shown: without a password.
func (c connection) where() string {
	servers, err := c.servers()
	if err != nil {
		return "nowhere"
	}
	var urls []string
	for _, u := range servers {
		urls = append(urls, u.Redacted())
	}
	return strings.Join(urls, ",")
}

// dialLater returns a connection at once, which may stand only later: connected
// is closed when it does. Until then requests are not answered.
func (c connection) dialLater(identity, name string) (nc *nats.Conn, connected <-chan struct{}, err error) {
	options, err := c.lasting(identity, name)
	if err != nil {
		return nil, nil, err
	}
	stands := make(chan struct{})
	nc, err = nats.Connect(c.NATS, append(options, nats.RetryOnFailedConnect(true), nats.ConnectHandler(func(*nats.Conn) { close(stands) }))...)
	if err != nil {
		return nil, nil, fmt.Errorf("NATS at %s: %w", c.where(), err)
	}
	if !nc.IsConnected() {
		slog.Warn("waiting for NATS", "url", c.where(), "reason", cmp.Or(nc.LastError(), nats.ErrNoServers))
	}
	return nc, stands, nil
}

// dial connects, and waits for a server that is not there yet.
func (c connection) dial(ctx context.Context, identity, name string) (*nats.Conn, error) {
	options, err := c.lasting(identity, name)
	if err != nil {
		return nil, err
	}
	for wait := 100 * time.Millisecond; ; wait = min(2*wait, 2*time.Second) {
		nc, err := nats.Connect(c.NATS, options...)
		if err == nil {
			return nc, nil
		}
		slog.Warn("waiting for NATS", "url", c.where(), "reason", err)
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("NATS at %s: %w", c.where(), err)
		case <-time.After(wait):
		}
	}
}

// operator is the identity of whoever looks after the shop from a terminal.
const operator = service.Operator

// connect connects at once, or not at all, as the operator.
func (c connection) connect(name string) (*nats.Conn, error) {
	options, err := c.options(operator, name)
	if err != nil {
		return nil, err
	}
	nc, err := nats.Connect(c.NATS, options...)
	if errors.Is(err, nats.ErrAuthorization) && c.Keys == "" {
		err = fmt.Errorf("%w; give --nats-keys (lonja up --nats-auth says which)", err)
	}
	if err != nil {
		return nil, fmt.Errorf("NATS at %s: %w", c.where(), err)
	}
	return nc, nil
}

// withJetStream calls use with a connection of the operator's that is closed afterwards.
func (c connection) withJetStream(ctx context.Context, name string, use func(jetstream.JetStream) error) error {
	nc, err := c.connect(name)
	if err != nil {
		return err
	}
	defer nc.Close()
	js, err := jetstream.New(nc)
	if err != nil {
		return err
	}
	return use(js)
}
