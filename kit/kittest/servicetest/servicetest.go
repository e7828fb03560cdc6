// Package servicetest runs an application's services in a test against a real NATS
// server and real SQLite files, in folders that the test throws away.
package servicetest

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"lonja/kit/bus"
	"lonja/kit/errs"
	"lonja/kit/eventlog"
	"lonja/kit/keyring"
	"lonja/kit/natsembed"
	"lonja/kit/service"
	"lonja/kit/streams"
)

// patience is how long one step of a test may take.
const patience = 10 * time.Second

// Application is what the services of an application have in common.
type Application struct {
	Name    string // as in service.Config
	Codec   eventlog.Codec
	Streams []byte // streams.yaml
}

// World is a NATS server with an application's streams, and the services that were
// started. Its methods fail the test at what they do not expect.
type World struct {
	*bus.Client
	Conn    *nats.Conn
	JS      jetstream.JetStream
	URL     string
	Streams *streams.Config
	KEKs    *keyring.KEKs // of the services with sealed events
	app     Application
	log     *eventlog.Log
	t       testing.TB
}

// Start starts a server, applies the streams and runs one replica of each service
// until the test ends. The test fails when one does not start.
func Start(t testing.TB, app Application, services ...*service.Service) *World {
	t.Helper()
	b, err := natsembed.Start(natsembed.Config{Dir: t.TempDir(), Addr: "127.0.0.1:0", SyncInterval: time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Stop)
	w := &World{URL: b.URL(), KEKs: MakeKEKs(t), app: app, t: t}
	w.Conn = w.Connect()
	w.Client = bus.NewClient(w.Conn)
	if w.JS, err = jetstream.New(w.Conn); err != nil {
		t.Fatal(err)
	}
	if w.Streams, err = streams.Parse(app.Streams); err != nil {
		t.Fatal(err)
	}
	if err := w.Streams.Apply(t.Context(), w.JS, 0); err != nil {
		t.Fatal(err)
	}
	w.log = eventlog.New(w.JS, app.Codec)
	w.log.Keys = keyring.New(w.JS, w.KEKs)
	for _, svc := range services {
		w.Run(svc, "a", t.TempDir())
	}
	return w
}

// MakeKEKs makes a file with a key-encryption key, which is removed when the test ends.
func MakeKEKs(t testing.TB) *keyring.KEKs {
	t.Helper()
	file := filepath.Join(t.TempDir(), "kek")
	if _, err := keyring.CreateKEKs(file); err != nil {
		t.Fatal(err)
	}
	keks, err := keyring.LoadKEKs(file)
	if err != nil {
		t.Fatal(err)
	}
	return keks
}

// Connect is a new connection that is closed when the test ends.
func (w *World) Connect() *nats.Conn {
	w.t.Helper()
	nc, err := nats.Connect(w.URL, nats.MaxReconnects(-1), nats.ReconnectWait(50*time.Millisecond))
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(nc.Close)
	return nc
}

// Run runs one replica of a service and returns when it is ready. Stop stops
// it and returns what Run returned; the test's end does so, too.
func (w *World) Run(svc *service.Service, replica, dir string) (stop func() error) {
	w.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	ready, done := make(chan struct{}), make(chan struct{})
	var result error
	nc := w.Connect()
	go func() {
		defer close(done)
		result = svc.Run(ctx, service.Config{
			Application: w.app.Name, Conn: nc, Codec: w.app.Codec, Streams: w.Streams, Dir: dir, Replica: replica, KEKs: w.KEKs,
			Logger: slog.New(slog.NewTextHandler(testWriter{w.t}, nil)),
		}, func() { close(ready) })
	}()
	stop = func() error {
		cancel()
		<-done
		return result
	}
	select {
	case <-ready:
	case <-done:
		w.t.Fatalf("service %s did not start: %v", svc.Name, result)
	}
	w.t.Cleanup(func() { _ = stop() })
	return stop
}

// Do sends a command as an actor, fails the test when it is refused, and
// returns the answer decoded into out, which may be nil.
func (w *World) Do(cmd bus.Command, as eventlog.Actor, out any) bus.Reply {
	w.t.Helper()
	reply, err := w.Send(w.context(), cmd, eventlog.Envelope{Actor: as})
	if err != nil {
		w.t.Fatalf("%s: %v", cmd.CommandName(), err)
	}
	if out != nil {
		if err := json.Unmarshal(reply.Body, out); err != nil {
			w.t.Fatalf("%s: %v in %s", cmd.CommandName(), err, reply.Body)
		}
	}
	return reply
}

// Fails sends a command as an actor and fails the test unless it is refused
// with a code.
func (w *World) Fails(cmd bus.Command, as eventlog.Actor, code errs.Code) {
	w.t.Helper()
	reply, err := w.Send(w.context(), cmd, eventlog.Envelope{Actor: as})
	if !errs.Is(err, code) {
		w.t.Fatalf("%s: want %s, got %v %s", cmd.CommandName(), code, err, reply.Body)
	}
}

// Get asks a query as an actor, after a position ("" for any time), fails the
// test when it is refused, and decodes the answer into out.
func (w *World) Get(q interface{ QueryName() string }, as eventlog.Actor, after string, out any) {
	w.t.Helper()
	body, err := w.Query(w.context(), q, eventlog.Envelope{Actor: as, After: after})
	if err != nil {
		w.t.Fatalf("%s: %v", q.QueryName(), err)
	}
	if err := json.Unmarshal(body, out); err != nil {
		w.t.Fatalf("%s: %v in %s", q.QueryName(), err, body)
	}
}

// Record appends an event to the log as if its own service had, after whatever
// is there, and returns its position. Members that are to be sealed are sealed.
func (w *World) Record(stream string, e eventlog.Event) string {
	w.t.Helper()
	subject, id := w.app.Codec.Subject(e), eventlog.NewID()
	filter := subject[:strings.LastIndexByte(subject, '.')] + ".>"
	for {
		last, err := w.log.Last(w.context(), stream, filter)
		if err != nil {
			w.t.Fatal(err)
		}
		env := eventlog.Envelope{ID: id, Time: time.Now(), Causation: "test-" + id, Correlation: "test-" + id}
		r, err := w.log.Append(w.context(), stream, filter, last, env, e)
		if errors.Is(err, eventlog.ErrConflict) {
			continue // a service has recorded something meanwhile
		}
		if err != nil {
			w.t.Fatalf("record %s on %s: %v", subject, stream, err)
		}
		return eventlog.Position(r.Stream, r.Sequence)
	}
}

// Await waits until an event of type E for which accept is true is on a stream,
// from its beginning, and returns it. The test fails when nothing was recorded for ten
// seconds.
func Await[E eventlog.Event](w *World, stream string, accept func(E) bool) E {
	w.t.Helper()
	cons, err := w.JS.OrderedConsumer(w.context(), stream, jetstream.OrderedConsumerConfig{})
	if err != nil {
		w.t.Fatal(err)
	}
	msgs, err := cons.Messages()
	if err != nil {
		w.t.Fatal(err)
	}
	defer msgs.Stop()
	for {
		m, err := msgs.Next(jetstream.NextContext(w.context()))
		if err != nil {
			var zero E
			w.t.Fatalf("no such %s: %v", w.app.Codec.Type(zero), err)
		}
		r := w.log.Decode(stream, 0, m.Subject(), m.Headers(), m.Data())
		if e, ok := r.Event.(E); ok && accept(e) {
			return e
		}
	}
}

func (w *World) context() context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	w.t.Cleanup(cancel)
	return ctx
}

// testWriter logs to the test, and no longer when it is over.
type testWriter struct{ t testing.TB }

func (w testWriter) Write(p []byte) (int, error) {
	if w.t.Context().Err() == nil {
		w.t.Log(string(p))
	}
	return len(p), nil
}
