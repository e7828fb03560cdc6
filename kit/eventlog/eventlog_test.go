package eventlog_test

import (
	"bytes"
	"context"
	"errors"
	"net"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"lonja/kit/eventlog"
	"lonja/kit/kittest"
)

// lossyDialer dials connections that lose the first request to a subject, as a server
// does that was paused.
type lossyDialer struct {
	subject string
	lost    atomic.Int64 // number of lost requests
	all     atomic.Bool  // lose all requests to the subject
}

type lossyConn struct {
	net.Conn
	dialer *lossyDialer
}

func (d *lossyDialer) Dial(network, address string) (net.Conn, error) {
	conn, err := net.Dial(network, address)
	return &lossyConn{conn, d}, err
}

func (c *lossyConn) Write(b []byte) (int, error) {
	if bytes.Contains(b, []byte("PUB "+c.dialer.subject)) && (c.dialer.all.Load() || c.dialer.lost.Load() == 0) {
		c.dialer.lost.Add(1)
		return len(b), nil
	}
	return c.Conn.Write(b)
}

// connectLossy returns the same log over a connection that loses requests to subject.
func connectLossy(t *testing.T, log *kittest.Log, subject string) (*eventlog.Log, *lossyDialer) {
	t.Helper()
	dialer := &lossyDialer{subject: subject}
	nc, err := nats.Connect(log.Server.URL(), nats.SetCustomDialer(dialer))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := js.AccountInfo(t.Context()); err != nil { // subscribes to replies before any request is lost
		t.Fatal(err)
	}
	return eventlog.New(js, kittest.Codec), dialer
}

const filter = "events.counter.c.>"

// One request without an answer does not use up the caller's deadline.
func TestLog_GivesUpALostRequestBeforeTheDeadline(t *testing.T) {
	log := kittest.New(t)
	added := kittest.Added{Counter: "c", By: 1}
	requests := map[string]func(context.Context, *eventlog.Log) error{
		"$JS.API.STREAM.MSG.GET.COUNTERS": func(ctx context.Context, l *eventlog.Log) error {
			_, err := l.Last(ctx, kittest.Stream, filter)
			return err
		},
		kittest.Codec.Subject(added): func(ctx context.Context, l *eventlog.Log) error {
			_, err := l.Append(ctx, kittest.Stream, filter, 0, eventlog.Envelope{ID: "e", Causation: "w", Time: time.Now()}, added)
			return err
		},
	}
	for subject, request := range requests {
		t.Run(subject, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			l, dialer := connectLossy(t, log, subject)
			if err := request(ctx, l); !errors.Is(err, eventlog.ErrOutcomeUnknown) || ctx.Err() != nil || dialer.lost.Load() != 1 {
				t.Errorf("got %v, lost %d requests; context: %v", err, dialer.lost.Load(), ctx.Err())
			}
			if err := request(ctx, l); err != nil {
				t.Errorf("second request: %v", err)
			}
		})
	}
}

func TestLoad_RepeatsALostRequest(t *testing.T) {
	log := kittest.New(t)
	first, last := log.Add("c", 4), log.Add("c", 5)
	l, dialer := connectLossy(t, log, "$JS.API.DIRECT.GET.COUNTERS")
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	var got []uint64
	err := l.Load(ctx, kittest.Stream, filter, 0, last, func(r eventlog.Record) { got = append(got, r.Sequence) })
	if err != nil || len(got) != 2 || got[0] != first || got[1] != last || dialer.lost.Load() != 1 {
		t.Errorf("loaded %v, %v, lost %d", got, err, dialer.lost.Load())
	}
}
