package eventlog_test

import (
	"context"
	"encoding/json"
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"lonja/kit/eventlog"
	"lonja/kit/kittest"
)

// wrongServer answers in a server's place, with another time.
type wrongServer struct {
	off    atomic.Int64 // nanoseconds that its clock is ahead
	silent atomic.Bool
	asked  atomic.Int64
	conn   *nats.Conn
}

// newWrongServer returns a clock that asks a server whose clock is wrong. It has no JetStream,
// so it leaves JetStream's subjects to the test.
func newWrongServer(t *testing.T) (*wrongServer, *eventlog.Clock) {
	t.Helper()
	srv, err := server.NewServer(&server.Options{Host: "127.0.0.1", Port: -1, NoLog: true, NoSigs: true})
	if err != nil {
		t.Fatal(err)
	}
	srv.Start()
	t.Cleanup(srv.Shutdown)
	conn, err := nats.Connect("", nats.InProcessServer(srv))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(conn.Close)
	s := &wrongServer{conn: conn}
	_, err = conn.Subscribe("$JS.API.STREAM.INFO.COUNTERS", func(m *nats.Msg) {
		s.asked.Add(1)
		if s.silent.Load() {
			return
		}
		answer, err := json.Marshal(map[string]any{"ts": time.Now().Add(time.Duration(s.off.Load())).UTC()})
		if err == nil {
			err = m.Respond(answer)
		}
		if err != nil {
			t.Error(err)
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	js, err := jetstream.New(conn)
	if err != nil {
		t.Fatal(err)
	}
	return s, eventlog.New(js, kittest.Codec).Clock("COUNTERS")
}

func near(t *testing.T, what string, got, want time.Time) {
	t.Helper()
	if off := got.Sub(want).Abs(); off > 2*time.Second {
		t.Errorf("%s: the clock says %s, want %s", what, got, want)
	}
}

func TestClock_TellsTheServersTime(t *testing.T) {
	log := kittest.New(t)
	clock := log.Log.Clock(kittest.Stream)
	if clock.Known() {
		t.Error("the time is known before the server was asked")
	}
	if err := clock.Ask(t.Context()); err != nil || !clock.Known() {
		t.Fatal(err)
	}
	near(t, "a server on this machine", clock.Now(), time.Now())
	if err := log.Log.Clock("NOWHERE").Ask(t.Context()); err == nil {
		t.Error("a stream that does not exist told its time")
	}
}

func TestClock_FollowsTheServerAndNotThisMachine(t *testing.T) {
	server, clock := newWrongServer(t)
	ask := func(off time.Duration) {
		t.Helper()
		server.off.Store(int64(off))
		if err := clock.Ask(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	ask(time.Hour)
	near(t, "an hour ahead", clock.Now(), time.Now().Add(time.Hour))
	server.silent.Store(true)
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := clock.Ask(ctx); !errors.Is(err, eventlog.ErrOutcomeUnknown) {
		t.Errorf("a silent server: %v", err)
	}
	near(t, "no answer", clock.Now(), time.Now().Add(time.Hour))
	server.silent.Store(false)
	before := clock.Now()
	ask(time.Hour - 30*time.Second)
	if now := clock.Now(); now.Before(before) || now.After(before.Add(time.Second)) {
		t.Errorf("set back by half a minute, it went from %s to %s", before, now)
	}
	ask(-time.Hour)
	near(t, "set back by hours", clock.Now(), time.Now().Add(-time.Hour))
}

func TestClock_AsksAtOnceAndAfterAReconnect(t *testing.T) {
	server, clock := newWrongServer(t)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { clock.Run(ctx); close(done) }()
	await := func(times int64) {
		t.Helper()
		for deadline := time.After(time.Minute); server.asked.Load() < times; {
			select {
			case <-deadline:
				t.Fatalf("asked %d times, want %d", server.asked.Load(), times)
			case <-time.After(time.Millisecond):
			}
		}
	}
	await(1)
	if err := server.conn.ForceReconnect(); err != nil {
		t.Fatal(err)
	}
	await(2) // long before the next question is due
	cancel()
	<-done
}
