package eventlog_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"lonja/internal/envelope"
	"lonja/internal/eventlog"
	"lonja/internal/toy"
)

// hears is a NATS server without JetStream, and a log that asks it. What is said
// on subject is heard by answer, which may be silent as a server is that stands
// still.
func hears(t *testing.T, subject string, answer func(*nats.Msg)) *eventlog.Log {
	t.Helper()
	s, err := server.NewServer(&server.Options{Host: "127.0.0.1", Port: server.RANDOM_PORT, NoSigs: true, NoLog: true})
	if err != nil {
		t.Fatal(err)
	}
	go s.Start()
	t.Cleanup(func() { s.Shutdown(); s.WaitForShutdown() })
	if !s.ReadyForConnections(20 * time.Second) {
		t.Fatal("the server did not start")
	}
	nc, err := nats.Connect(s.ClientURL())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := nc.Subscribe(subject, answer); err != nil {
		t.Fatal(err)
	}
	return eventlog.New(js, toy.Language)
}

func TestAServerThatIsSilentIsNotWaitedForLong(t *testing.T) {
	added := toy.Added{Counter: "c", By: 1}
	silent := func(*nats.Msg) {}
	asks := map[string]func(context.Context) error{
		"last": func(ctx context.Context) error {
			_, err := hears(t, "$JS.API.STREAM.MSG.GET.TOYS", silent).Last(ctx, toy.Stream, "events.counter.c.>")
			return err
		},
		"append": func(ctx context.Context) error {
			_, err := hears(t, toy.Language.Subject(added), silent).Append(ctx, toy.Stream, "events.counter.c.>", 0, envelope.Envelope{ID: "e"}, added)
			return err
		},
	}
	for name, ask := range asks {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			if err := ask(ctx); !errors.Is(err, eventlog.ErrUnknown) || ctx.Err() != nil {
				t.Errorf("got %v; a minute had passed: %v", err, ctx.Err())
			}
		})
	}
}

// Of several servers the next one may answer what the first did not.
func TestFactsAreAskedForAgain(t *testing.T) {
	data, err := toy.Language.Encode(toy.Added{Counter: "c", By: 4})
	if err != nil {
		t.Fatal(err)
	}
	var asked atomic.Int64
	log := hears(t, "$JS.API.DIRECT.GET.TOYS", func(m *nats.Msg) {
		if asked.Add(1) == 1 {
			return
		}
		header := envelope.Envelope{ID: "e", Type: "toy.counter.added.v1", Causation: "w", Time: time.Now()}.Header()
		for key, value := range map[string]string{jetstream.StreamHeader: toy.Stream, jetstream.SequenceHeader: "7", jetstream.SubjectHeader: "events.counter.c.added",
			jetstream.TimeStampHeaer: time.Now().UTC().Format(time.RFC3339Nano), "Nats-Num-Pending": "0"} {
			header[key] = []string{value}
		}
		_ = m.RespondMsg(&nats.Msg{Header: header, Data: data})
		_ = m.RespondMsg(&nats.Msg{Header: nats.Header{"Status": {"204"}, "Description": {"EOB"}}})
	})
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	var got []eventlog.Recorded
	if err := log.Load(ctx, toy.Stream, "events.counter.c.>", 0, 7, func(r eventlog.Recorded) { got = append(got, r) }); err != nil {
		t.Fatal(err)
	}
	if len(got) != 1 || got[0].Event != (toy.Added{Counter: "c", By: 4}) || got[0].Sequence != 7 || asked.Load() != 2 {
		t.Errorf("loaded %+v after %d questions", got, asked.Load())
	}
}
