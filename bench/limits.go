package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"sync/atomic"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// limits measures what the layers below the shop can do on this machine at this
// moment, with messages of the same size.
type limits struct {
	self       string // this program
	dir        string
	nats, echo *process
	conn       *nats.Conn
	js         jetstream.JetStream
	event      *nats.Msg // an order's first event, as the shop recorded it
	appended   atomic.Int64
}

func newLimits(ctx context.Context, dir string) (l *limits, err error) {
	l = &limits{dir: dir}
	if l.self, err = os.Executable(); err != nil {
		return nil, err
	}
	if l.nats, err = start(ctx, l.self, "broker", filepath.Join(dir, "limit-broker"), "always"); err != nil {
		return nil, err
	}
	if l.echo, err = start(ctx, l.self, "echo", filepath.Join(dir, "limit-echo")); err != nil {
		return nil, err
	}
	if l.conn, err = nats.Connect(l.nats.output["nats"]); err != nil {
		return nil, err
	}
	if l.js, err = jetstream.New(l.conn); err != nil {
		return nil, err
	}
	for _, name := range []string{"A", "B"} {
		if _, err := l.js.CreateStream(ctx, jetstream.StreamConfig{
			Name: name, Subjects: []string{"events." + name + ".>"}, Storage: jetstream.FileStorage,
			Discard: jetstream.DiscardNew, DenyDelete: true, DenyPurge: true, AllowDirect: true, MaxMsgSize: 1 << 20,
		}); err != nil {
			return nil, err
		}
	}
	return l, nil
}

// loadSample reads an order's first event, of three lines, from the shop's log.
func (l *limits) loadSample(ctx context.Context, s *shop) error {
	orders, err := s.log.Stream(ctx, "ORDERS")
	if err != nil {
		return err
	}
	raw, err := orders.GetLastMsgForSubject(ctx, "events.order.*.placed")
	if err != nil {
		return err
	}
	l.event = &nats.Msg{Header: raw.Header, Data: raw.Data}
	// The server adds to what it reads directly where that is stored.
	for _, name := range []string{jetstream.StreamHeader, jetstream.SequenceHeader, jetstream.SubjectHeader, jetstream.TimeStampHeaer} {
		l.event.Header.Del(name)
	}
	return nil
}

// appends returns the limit of an order: n events appended to JetStream one after
// another, on two streams in turn. Each append is synced before it is acknowledged
// and has an expected sequence.
func appends(n int) func(*limits, int) (string, func(int) (operation, func(), error)) {
	return func(l *limits, _ int) (string, func(int) (operation, func(), error)) {
		name := strconv.Itoa(n) + " synced append"
		if n > 1 {
			name += "s"
		}
		return name, func(int) (operation, func(), error) {
			return func(ctx context.Context, _ int) error {
				for i := range n {
					if err := l.append(ctx, "AB"[i%2:i%2+1]); err != nil {
						return err
					}
				}
				return nil
			}, func() {}, nil
		}
	}
}

func (l *limits) append(ctx context.Context, stream string) error {
	id := fmt.Sprintf("ord_%032d", l.appended.Add(1))
	entity := "events." + stream + "." + id
	msg := &nats.Msg{Subject: entity + ".placed", Header: make(nats.Header, len(l.event.Header)), Data: l.event.Data}
	for name, value := range l.event.Header {
		msg.Header[name] = value
	}
	msg.Header[jetstream.ExpectedLastSubjSeqHeader] = []string{"0"}
	msg.Header[jetstream.ExpectedLastSubjSeqSubjHeader] = []string{entity + ".>"}
	_, err := l.js.PublishMsg(ctx, msg)
	return err
}

// roundTrips returns the limit of a query: an HTTP request, a NATS request, and a
// constant reply of the same size.
func roundTrips(l *limits, size int) (string, func(int) (operation, func(), error)) {
	return "HTTP + NATS request", func(workers int) (operation, func(), error) {
		host := l.echo.output["http"]
		all := make([]*connection, workers)
		closeAll := func() {
			for _, c := range all {
				if c != nil {
					c.close()
				}
			}
		}
		for i := range all {
			var err error
			if all[i], err = connect(host); err != nil {
				closeAll()
				return nil, nil, err
			}
		}
		path := "/" + strconv.Itoa(size)
		return func(_ context.Context, worker int) error {
			c := all[worker]
			got, err := c.roundTrip(c.request("GET", path, host, nil))
			if err == nil && len(got.body) != size {
				err = fmt.Errorf("%d bytes, not %d", len(got.body), size)
			}
			return err
		}, closeAll, nil
	}
}

func (l *limits) stop() {
	if l.conn != nil {
		l.conn.Close()
	}
	for _, p := range []*process{l.nats, l.echo} {
		if p != nil {
			p.stop()
		}
	}
}
