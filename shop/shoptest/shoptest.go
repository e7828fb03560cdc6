// Package shoptest runs services in a test against a real NATS server and
// real SQLite files, in folders that the test throws away.
package shoptest

import (
	"context"
	"encoding/json"
	"log/slog"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"lonja"
	"lonja/events"
	"lonja/kit/bus"
	"lonja/kit/errs"
	"lonja/kit/eventlog"
	"lonja/kit/natsembed"
	"lonja/kit/service"
	"lonja/kit/streams"
	"lonja/shop/codec"
)

// Shop is a NATS server with the shop's streams, and the services that were started.
type Shop struct {
	*bus.Client
	Conn    *nats.Conn
	JS      jetstream.JetStream
	URL     string
	Streams *streams.Config
	t       testing.TB
}

// Codec is the shop's.
var Codec = codec.Events

// Start starts a server, applies streams.yaml and runs the services until the
// test ends. The test fails when a service does not stop as it should.
func Start(t testing.TB, services ...*service.Service) *Shop {
	t.Helper()
	b, err := natsembed.Start(natsembed.Config{Dir: t.TempDir(), Addr: "127.0.0.1:0", SyncInterval: time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Stop)
	s := &Shop{URL: b.URL(), t: t}
	s.Conn = s.Connect()
	s.Client = bus.NewClient(s.Conn)
	if s.JS, err = jetstream.New(s.Conn); err != nil {
		t.Fatal(err)
	}
	if s.Streams, err = streams.Parse(lonja.StreamsYAML); err != nil {
		t.Fatal(err)
	}
	if err := s.Streams.Apply(t.Context(), s.JS, 0); err != nil {
		t.Fatal(err)
	}
	for _, svc := range services {
		s.Run(svc, "a", t.TempDir())
	}
	return s
}

// Connect is a new connection that is closed when the test ends.
func (s *Shop) Connect() *nats.Conn {
	s.t.Helper()
	nc, err := nats.Connect(s.URL, nats.MaxReconnects(-1), nats.ReconnectWait(50*time.Millisecond))
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(nc.Close)
	return nc
}

// Run runs one replica of a service and returns when it is ready. Stop stops
// it and returns what Run returned; the test's end does so, too.
func (s *Shop) Run(svc *service.Service, replica, dir string) (stop func() error) {
	s.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	ready, done := make(chan struct{}), make(chan struct{})
	var result error
	nc := s.Connect()
	go func() {
		defer close(done)
		result = svc.Run(ctx, service.Config{
			Application: lonja.Name, Conn: nc, Codec: Codec, Streams: s.Streams, Dir: dir, Replica: replica,
			Logger: slog.New(slog.NewTextHandler(testWriter{s.t}, nil)),
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
		s.t.Fatalf("service %s did not start: %v", svc.Name, result)
	}
	s.t.Cleanup(func() { _ = stop() })
	return stop
}

// Do sends a command as an actor, fails the test when it is refused, and
// returns the answer decoded into out, which may be nil.
func (s *Shop) Do(cmd bus.Command, as eventlog.Actor, out any) bus.Reply {
	s.t.Helper()
	reply, err := s.Send(s.context(), cmd, eventlog.Envelope{Actor: as})
	if err != nil {
		s.t.Fatalf("%s: %v", cmd.CommandName(), err)
	}
	if out != nil {
		if err := json.Unmarshal(reply.Body, out); err != nil {
			s.t.Fatalf("%s: %v in %s", cmd.CommandName(), err, reply.Body)
		}
	}
	return reply
}

// Fails sends a command as an actor and fails the test unless it is refused
// with a code.
func (s *Shop) Fails(cmd bus.Command, as eventlog.Actor, code errs.Code) {
	s.t.Helper()
	reply, err := s.Send(s.context(), cmd, eventlog.Envelope{Actor: as})
	if !errs.Is(err, code) {
		s.t.Fatalf("%s: want %s, got %v %s", cmd.CommandName(), code, err, reply.Body)
	}
}

// Get asks a query as an actor, after a position ("" for any time), fails the
// test when it is refused, and decodes the answer into out.
func (s *Shop) Get(q interface{ QueryName() string }, as eventlog.Actor, after string, out any) {
	s.t.Helper()
	body, err := s.Query(s.context(), q, eventlog.Envelope{Actor: as, After: after})
	if err != nil {
		s.t.Fatalf("%s: %v", q.QueryName(), err)
	}
	if err := json.Unmarshal(body, out); err != nil {
		s.t.Fatalf("%s: %v in %s", q.QueryName(), err, body)
	}
}

// Record appends an event to the log as if its own service had, after whatever
// is there, and returns its position.
func (s *Shop) Record(stream string, e events.Event) string {
	s.t.Helper()
	data, err := events.Encode(e)
	if err != nil {
		s.t.Fatal(err)
	}
	id := eventlog.NewID()
	header := eventlog.Envelope{ID: id, Type: events.Type(e), Time: time.Now(), Causation: "test-" + id, Correlation: "test-" + id}.Header()
	ack, err := s.JS.PublishMsg(s.context(), &nats.Msg{Subject: events.Subject(e), Header: header, Data: data})
	if err != nil {
		s.t.Fatal(err)
	}
	if ack.Stream != stream {
		s.t.Fatalf("%s was recorded on %s, not %s", events.Subject(e), ack.Stream, stream)
	}
	return eventlog.Position(ack.Stream, ack.Sequence)
}

// Await waits until an event of type E for which accept is true is on its
// stream, from the beginning of the log, and returns it. The test fails after
// ten seconds.
func Await[E events.Event](s *Shop, accept func(E) bool) E {
	s.t.Helper()
	var zero E
	stream, err := s.JS.StreamNameBySubject(s.context(), events.SubjectsOf(events.Type(zero)))
	if err != nil {
		s.t.Fatal(err)
	}
	cons, err := s.JS.OrderedConsumer(s.context(), stream, jetstream.OrderedConsumerConfig{
		FilterSubjects: []string{events.SubjectsOf(events.Type(zero))}})
	if err != nil {
		s.t.Fatal(err)
	}
	msgs, err := cons.Messages()
	if err != nil {
		s.t.Fatal(err)
	}
	defer msgs.Stop()
	for {
		m, err := msgs.Next(jetstream.NextContext(s.context()))
		if err != nil {
			s.t.Fatalf("no such %s: %v", events.Type(zero), err)
		}
		e, err := events.Decode(m.Headers().Get(eventlog.HeaderType), m.Data())
		if err == nil && accept(e.(E)) {
			return e.(E)
		}
	}
}

func (s *Shop) context() context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	s.t.Cleanup(cancel)
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
