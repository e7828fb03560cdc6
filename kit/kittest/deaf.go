package kittest

import (
	"bytes"
	"net"
	"sync/atomic"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// Deaf is a way to the log's server on which all requests for messages get lost,
// from a moment on, and all else arrives. A new connection is well again.
type Deaf struct {
	JS          jetstream.JetStream
	connections atomic.Int64
	lost        atomic.Int64 // the connection that loses them, 0 for none
}

type deafConn struct {
	net.Conn
	way    *Deaf
	number int64
}

// Deafen makes such a way.
func (l *Log) Deafen(t testing.TB) *Deaf {
	t.Helper()
	d := &Deaf{}
	nc, err := nats.Connect(l.Server.URL(), nats.SetCustomDialer(d), nats.MaxReconnects(-1))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	if d.JS, err = jetstream.New(nc); err != nil {
		t.Fatal(err)
	}
	return d
}

// Lose begins to lose requests on the connection there is.
func (d *Deaf) Lose() { d.lost.Store(d.connections.Load()) }

// Dial implements nats.CustomDialer.
func (d *Deaf) Dial(network, address string) (net.Conn, error) {
	conn, err := net.Dial(network, address)
	return &deafConn{conn, d, d.connections.Add(1)}, err
}

func (c *deafConn) Write(b []byte) (int, error) {
	if c.way.lost.Load() == c.number && bytes.Contains(b, []byte("CONSUMER.MSG.NEXT")) {
		return len(b), nil
	}
	return c.Conn.Write(b)
}
