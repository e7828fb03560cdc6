package kittest

import (
	"bytes"
	"net"
	"sync/atomic"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// LossyConn is a connection to the log's server that can lose consumers' pull requests
// while everything else arrives. Consumers then wait for messages that are never
// delivered. A lossy connection that reconnects works again.
type LossyConn struct {
	JS     jetstream.JetStream // uses this connection
	dialed atomic.Int64        // the number of network connections so far
	lossy  atomic.Int64        // the network connection that loses pull requests; 0 for none
}

// lossyNetConn is one network connection of a LossyConn.
type lossyNetConn struct {
	net.Conn
	owner  *LossyConn
	number int64 // from 1
}

// ConnectLossy opens a connection that works until DropPulls is called. It is closed
// when the test ends.
func (l *Log) ConnectLossy(t testing.TB) *LossyConn {
	t.Helper()
	c := &LossyConn{}
	nc, err := nats.Connect(l.Server.URL(), nats.SetCustomDialer(c), nats.MaxReconnects(-1))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	if c.JS, err = jetstream.New(nc); err != nil {
		t.Fatal(err)
	}
	return c
}

// DropPulls makes the current network connection lose all pull requests from now on.
func (c *LossyConn) DropPulls() { c.lossy.Store(c.dialed.Load()) }

// Dial implements [nats.CustomDialer].
func (c *LossyConn) Dial(network, address string) (net.Conn, error) {
	conn, err := net.Dial(network, address)
	return &lossyNetConn{conn, c, c.dialed.Add(1)}, err
}

func (c *lossyNetConn) Write(b []byte) (int, error) {
	if c.owner.lossy.Load() == c.number && bytes.Contains(b, []byte("CONSUMER.MSG.NEXT")) {
		return len(b), nil
	}
	return c.Conn.Write(b)
}
