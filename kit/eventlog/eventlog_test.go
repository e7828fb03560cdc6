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

// lossy is a way to a server on which the next request that names a subject gets
// lost, as one does that was sent to a server which stood still.
type lossy struct {
	subject string
	lost    atomic.Int64
	all     atomic.Bool // not only the next one
}

type lossyConn struct {
	net.Conn
	way *lossy
}

func (l *lossy) Dial(network, address string) (net.Conn, error) {
	conn, err := net.Dial(network, address)
	return &lossyConn{conn, l}, err
}

func (c *lossyConn) Write(b []byte) (int, error) {
	if bytes.Contains(b, []byte("PUB "+c.way.subject)) && (c.way.all.Load() || c.way.lost.Load() == 0) {
		c.way.lost.Add(1)
		return len(b), nil
	}
	return c.Conn.Write(b)
}

// behind is the same log, reached on a way that loses the next request to subject.
func behind(t *testing.T, log *kittest.Log, subject string) (*eventlog.Log, *lossy) {
	t.Helper()
	way := &lossy{subject: subject}
	nc, err := nats.Connect(log.Server.URL(), nats.SetCustomDialer(way))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := js.AccountInfo(t.Context()); err != nil { // so that the client hears answers before any is lost
		t.Fatal(err)
	}
	return eventlog.New(js, kittest.Codec), way
}

const filter = "events.counter.c.>"

// The time that a caller has is not used up by one request that nobody answers.
func TestALostRequestIsNotWaitedForLong(t *testing.T) {
	log := kittest.New(t)
	added := kittest.Added{Counter: "c", By: 1}
	asks := map[string]func(context.Context, *eventlog.Log) error{
		"$JS.API.STREAM.MSG.GET.COUNTERS": func(ctx context.Context, l *eventlog.Log) error {
			_, err := l.Last(ctx, kittest.Stream, filter)
			return err
		},
		kittest.Codec.Subject(added): func(ctx context.Context, l *eventlog.Log) error {
			_, err := l.Append(ctx, kittest.Stream, filter, 0, eventlog.Envelope{ID: "e", Causation: "w", Time: time.Now()}, added)
			return err
		},
	}
	for subject, ask := range asks {
		t.Run(subject, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			l, way := behind(t, log, subject)
			if err := ask(ctx, l); !errors.Is(err, eventlog.ErrOutcomeUnknown) || ctx.Err() != nil || way.lost.Load() != 1 {
				t.Errorf("got %v, lost %d; a minute had passed: %v", err, way.lost.Load(), ctx.Err())
			}
			if err := ask(ctx, l); err != nil {
				t.Errorf("asked again: %v", err)
			}
		})
	}
}

func TestLoadingAsksAgain(t *testing.T) {
	log := kittest.New(t)
	first, last := log.Add("c", 4), log.Add("c", 5)
	l, way := behind(t, log, "$JS.API.DIRECT.GET.COUNTERS")
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	var got []uint64
	err := l.Load(ctx, kittest.Stream, filter, 0, last, func(r eventlog.Record) { got = append(got, r.Sequence) })
	if err != nil || len(got) != 2 || got[0] != first || got[1] != last || way.lost.Load() != 1 {
		t.Errorf("loaded %v, %v, lost %d", got, err, way.lost.Load())
	}
}
