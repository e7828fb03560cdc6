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

	"lonja/kit/eventlog"
	"lonja/kit/natsauth"
	"lonja/kit/natsembed"
	"lonja/kit/service"
)

// connection holds the flags for a connection to NATS.
type connection struct {
	NATS string `name:"nats" help:"URL of the NATS server, or several URLs separated by commas." default:"nats://127.0.0.1:4222"`
	Keys string `name:"nats-keys" help:"Folder with the NKey seeds that nats-config and up --nats-auth write, as IDENTITY/seed. Without it, connections are not authenticated." type:"path"`
	CA   string `name:"nats-ca" help:"PEM file of the authority that signed the server's certificate. It enables TLS." type:"path"`

	embedded *natsembed.Server // the server in this process; nil for one that is reached by its URL
}

// synced returns what waits for the disk of the server in this process, nil if that syncs each
// message before it acknowledges it.
func (c connection) synced() eventlog.SyncFunc {
	if c.embedded == nil || !c.embedded.SyncsInGroups() {
		return nil
	}
	return c.embedded.Synced
}

// options returns the options of an identity's connection. Name is shown in the
// server's monitoring.
func (c connection) options(identity, name string) ([]nats.Option, error) {
	options := []nats.Option{
		// Each connection has a random inbox prefix, so that others cannot guess it.
		nats.Name(name), nats.CustomInboxPrefix(natsauth.InboxPrefix(identity) + "." + rand.Text()),
		nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) {
			// Without this, a publish that is not permitted only shows as a timeout.
			slog.Error("NATS reports an error", "connection", name, "error", err)
		}),
	}
	if c.embedded != nil {
		options = append(options, nats.InProcessServer(c.embedded)) // without the kernel's sockets in between
	}
	if c.Keys != "" {
		// The key is read once. When its file is replaced, the process uses the old
		// key until it is restarted.
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

// reconnecting returns the options of a connection that reconnects for ever.
func (c connection) reconnecting(identity, name string) ([]nats.Option, error) {
	options, err := c.options(identity, name)
	options = append(options, nats.MaxReconnects(-1), nats.ReconnectWait(100*time.Millisecond),
		nats.IgnoreAuthErrorAbort(),                                   // the server's configuration may be about to change
		nats.PingInterval(5*time.Second), nats.MaxPingsOutstanding(2)) // leave a server that hangs
	return options, err
}

// redactedURLs returns the servers' URLs without passwords.
func (c connection) redactedURLs() string {
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

// dialInBackground returns at once. Connected is closed when the connection is
// established. Until then requests are not answered.
func (c connection) dialInBackground(identity, name string) (nc *nats.Conn, connected <-chan struct{}, err error) {
	options, err := c.reconnecting(identity, name)
	if err != nil {
		return nil, nil, err
	}
	ready := make(chan struct{})
	nc, err = nats.Connect(c.NATS, append(options, nats.RetryOnFailedConnect(true), nats.ConnectHandler(func(*nats.Conn) { close(ready) }))...)
	if err != nil {
		return nil, nil, fmt.Errorf("NATS at %s: %w", c.redactedURLs(), err)
	}
	if !nc.IsConnected() {
		slog.Warn("waiting for NATS", "url", c.redactedURLs(), "reason", cmp.Or(nc.LastError(), nats.ErrNoServers))
	}
	return nc, ready, nil
}

// dial connects, and retries until a server is available or ctx ends.
func (c connection) dial(ctx context.Context, identity, name string) (*nats.Conn, error) {
	options, err := c.reconnecting(identity, name)
	if err != nil {
		return nil, err
	}
	for wait := 100 * time.Millisecond; ; wait = min(2*wait, 2*time.Second) {
		nc, err := nats.Connect(c.NATS, options...)
		if err == nil {
			return nc, nil
		}
		slog.Warn("waiting for NATS", "url", c.redactedURLs(), "reason", err)
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("NATS at %s: %w", c.redactedURLs(), err)
		case <-time.After(wait):
		}
	}
}

// operator is the identity that administrative commands connect as.
const operator = service.Operator

// connect connects as the operator. It does not retry.
func (c connection) connect(name string) (*nats.Conn, error) {
	options, err := c.options(operator, name)
	if err != nil {
		return nil, err
	}
	nc, err := nats.Connect(c.NATS, options...)
	if errors.Is(err, nats.ErrAuthorization) && c.Keys == "" {
		err = fmt.Errorf("%w; give --nats-keys (lonja up --nats-auth prints the folder)", err)
	}
	if err != nil {
		return nil, fmt.Errorf("NATS at %s: %w", c.redactedURLs(), err)
	}
	return nc, nil
}

// withJetStream connects as the operator, calls use, and closes the connection.
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
