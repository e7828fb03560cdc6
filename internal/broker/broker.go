// Package broker runs a NATS server with JetStream inside the process.
package broker

import (
	"errors"
	"fmt"
	"net"
	"strconv"
	"time"

	"github.com/nats-io/nats-server/v2/server"
)

// Config says how the server stores and where it listens.
type Config struct {
	Dir  string // of the store
	Addr string // host:port; port 0 picks a free one
	// SyncAlways makes every acknowledged message survive a power cut. Without
	// it the store is synced every SyncInterval.
	SyncAlways   bool
	SyncInterval time.Duration
	// MaxStore bounds the store in bytes; 0 means three quarters of what is
	// free, at most 64 GiB.
	MaxStore int64
}

// Broker is a running server.
type Broker struct{ server *server.Server }

// Start starts a server and returns once it takes connections.
func Start(c Config) (*Broker, error) {
	host, port, err := net.SplitHostPort(c.Addr)
	if err != nil {
		return nil, fmt.Errorf("--nats %q: %w", c.Addr, err)
	}
	n, err := strconv.Atoi(port)
	if err != nil || n < 0 || n > 65535 {
		return nil, fmt.Errorf("--nats %q: port must be 0 to 65535", c.Addr)
	}
	if n == 0 {
		n = server.RANDOM_PORT
	}
	if c.MaxStore == 0 {
		if c.MaxStore, err = defaultMaxStore(c.Dir); err != nil {
			return nil, err
		}
	}
	s, err := server.NewServer(&server.Options{
		ServerName:         "lonja",
		Host:               host,
		Port:               n,
		JetStream:          true,
		StoreDir:           c.Dir,
		JetStreamMaxStore:  c.MaxStore,
		JetStreamMaxMemory: 64 << 20,
		SyncAlways:         c.SyncAlways,
		SyncInterval:       c.SyncInterval,
		// A client that hangs is found out soon: until then it keeps its place in
		// the queue groups.
		PingInterval: 5 * time.Second,
		MaxPingsOut:  2,
		NoSigs:       true,
		NoLog:        true,
	})
	if err != nil {
		return nil, fmt.Errorf("NATS server: %w", err)
	}
	go s.Start()
	if !s.ReadyForConnections(20 * time.Second) {
		s.Shutdown()
		return nil, fmt.Errorf("NATS server did not start on %s: is another one running there?", c.Addr)
	}
	if !s.JetStreamEnabled() {
		s.Shutdown()
		return nil, errors.New("NATS server runs without JetStream: is its store in use or unreadable? " + c.Dir)
	}
	return &Broker{s}, nil
}

// URL is where clients connect.
func (b *Broker) URL() string { return b.server.ClientURL() }

// Stop stops the server and waits until its store is closed.
func (b *Broker) Stop() {
	b.server.Shutdown()
	b.server.WaitForShutdown()
}
