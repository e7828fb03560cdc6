package service_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"lonja/kit/decider"
	"lonja/kit/eventlog"
	"lonja/kit/keyring"
	"lonja/kit/kittest"
	"lonja/kit/projection"
	"lonja/kit/service"
)

// sealedConfig are the streams of a service with sealed events.
var sealedConfig = strings.Replace(config, "    consumers:\n", "    consumers:\n"+
	"      - {durable_name: counters-noted, filter_subjects: [events.counter.*.noted], ack_policy: explicit, max_deliver: -1}\n", 1) + `
  - name: KEYS
    subjects: [keys.*]
    discard: new
    deny_purge: true
    allow_direct: true
`

// withKeys returns a fixture for a service with sealed events, and the file of its
// key-encryption keys.
func withKeys(t *testing.T) (f *fixture, file string) {
	t.Helper()
	f = newFixtureOn(t, sealedConfig)
	f.codec = kittest.SealedCodec
	f.keks, file = newKEKs(t)
	return f, file
}

func newKEKs(t *testing.T) (*keyring.KEKs, string) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "kek")
	if _, err := keyring.CreateKEKs(file); err != nil {
		t.Fatal(err)
	}
	keks, err := keyring.LoadKEKs(file)
	if err != nil {
		t.Fatal(err)
	}
	return keks, file
}

// notes is a service that adds the length of every note on "x" to the counter "length-x". It
// destroys the key of a counter that a negative number is added to.
func (f *fixture) notes() *service.Service {
	counters := decider.New(decider.EntityType[int]{Subject: "events.counter", Stream: kittest.Stream,
		Evolve: func(n int, e eventlog.Event, _ time.Time) int {
			if a, ok := e.(kittest.Added); ok {
				n += a.By
			}
			return n
		}})
	seen := projection.New(projection.Definition{
		Name:   "seen",
		Schema: `CREATE TABLE seen (counter TEXT PRIMARY KEY, note TEXT NOT NULL);`,
		Reads:  []projection.Source{{Stream: kittest.Stream, Subjects: []string{"events.counter.>"}}},
		Project: func(tx *projection.Tx, r eventlog.Record) error {
			if n, ok := r.Event.(kittest.Noted); ok {
				return tx.Exec(`INSERT OR REPLACE INTO seen VALUES (?, ?)`, n.Counter, n.Note)
			}
			return nil
		},
	})
	return &service.Service{
		Name: "counters", Sealed: true,
		Views: []*projection.View{seen},
		Reactions: []service.Reaction{
			{Consumer: "counters-noted", Handlers: []service.Handler{
				service.React(counters, func(n kittest.Noted) string { return "length-" + n.Counter },
					func(_ int, n kittest.Noted, m decider.Meta) (eventlog.Event, error) {
						return kittest.Added{Counter: m.EntityID, By: len(n.Note)}, nil
					}),
			}},
			{Consumer: "counters-echo", Handlers: []service.Handler{
				service.DestroyKey(func(a kittest.Added) string {
					if a.By < 0 {
						return a.Counter
					}
					return ""
				}),
			}},
		},
		Queries: []service.Query{
			service.Answer(seen, func(ctx context.Context, q total, _ eventlog.Actor) (any, error) {
				var text string
				_, err := seen.Get(ctx, `SELECT note FROM seen WHERE counter = ?`, []any{q.Counter}, &text)
				return text, err
			}),
		},
	}
}

// note records a note on a counter, as a service with these key-encryption keys does.
func (f *fixture) note(keks *keyring.KEKs, counter, text string) {
	f.t.Helper()
	writer := eventlog.New(f.log.JS, kittest.SealedCodec)
	writer.Keys = keyring.New(f.log.JS, keks)
	filter := "events.counter." + counter + ".>"
	last, err := writer.Last(f.t.Context(), kittest.Stream, filter)
	if err != nil {
		f.t.Fatal(err)
	}
	id := eventlog.NewID()
	env := eventlog.Envelope{ID: id, Causation: "test-" + id, Time: time.Now()}
	if _, err := writer.Append(f.t.Context(), kittest.Stream, filter, last, env, kittest.Noted{Counter: counter, Note: text}); err != nil {
		f.t.Fatal(err)
	}
}

// awaitAnswer waits until the service answers with a counter's note.
func (f *fixture) awaitAnswer(counter, want string) {
	f.t.Helper()
	f.eventually(func() error {
		body, err := f.Query(f.t.Context(), total{counter}, eventlog.Envelope{})
		if err == nil && string(body) != fmt.Sprintf("%q", want) {
			err = fmt.Errorf("the note of %s is %s, want %q", counter, body, want)
		}
		return err
	})
}

// awaitAdded waits until a number was added to a counter.
func (f *fixture) awaitAdded(counter string, by int) {
	f.t.Helper()
	f.eventually(func() error {
		last, err := f.log.Last(f.t.Context(), kittest.Stream, "events.counter."+counter+".>")
		if err == nil && last == 0 {
			err = fmt.Errorf("nothing was added to %s", counter)
		}
		if err != nil {
			return err
		}
		r, err := f.log.At(f.t.Context(), kittest.Stream, last)
		if want := (kittest.Added{Counter: counter, By: by}); err == nil && r.Event != want {
			err = fmt.Errorf("%+v was recorded, want %+v", r.Event, want)
		}
		return err
	})
}

// Neither a reaction nor a view gives an event up whose key cannot be had for a while.
func TestService_WaitsForTheKeyOfAnEvent(t *testing.T) {
	f, file := withKeys(t)
	s := f.notes()
	f.run(s)
	f.note(f.keks, "a", "one")
	f.awaitAdded("length-a", 3)
	f.awaitAnswer("a", "one")

	foreign, other := newKEKs(t) // the service's file lacks it
	f.note(foreign, "b", "seven")
	f.eventually(func() error {
		if health := s.Health(t.Context()); health.Ready || !slices.Equal(health.Views[0].Stalled, []string{kittest.Stream}) {
			return fmt.Errorf("health: %+v", health)
		}
		return nil
	})
	f.eventually(func() error {
		cons, err := f.log.JS.Consumer(t.Context(), kittest.Stream, "counters-noted")
		if err != nil {
			return err
		}
		if info := cons.CachedInfo(); info.NumRedelivered == 0 {
			return fmt.Errorf("the event was not delivered again: %+v", info)
		}
		return nil
	})
	f.awaitAnswer("b", "")

	all := read(t, file) + read(t, other)
	if err := os.WriteFile(file, []byte(all), 0o600); err != nil {
		t.Fatal(err)
	}
	f.awaitAdded("length-b", 5)
	f.awaitAnswer("b", "seven")
	f.awaitDeadLetters(0)
}

func read(t *testing.T, file string) string {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func TestDestroyKey_MakesTheEventsUnreadable(t *testing.T) {
	f, _ := withKeys(t)
	f.run(f.notes())
	f.note(f.keks, "a", "one")
	f.awaitAnswer("a", "one")
	f.log.Add("a", -1)
	f.eventually(func() error {
		if _, err := keyring.New(f.log.JS, f.keks).Key("a"); !errors.Is(err, eventlog.ErrKeyDestroyed) {
			return fmt.Errorf("the key: %v", err)
		}
		return nil
	})
	f.awaitDeadLetters(0)
}

func TestService_WithSealedEventsDoesNotStartWithoutItsKeys(t *testing.T) {
	f, _ := withKeys(t)
	f.note(f.keks, "a", "one")
	wrong, _ := newKEKs(t)
	for name, c := range map[string]struct {
		keks *keyring.KEKs
		says string
	}{
		"no file":      {nil, "Config.KEKs"},
		"another file": {wrong, wrong.Path()},
	} {
		ctx, cancel := context.WithCancel(t.Context())
		err := f.notes().Run(ctx, service.Config{Application: "counters", Conn: f.log.Conn, Codec: f.codec, Streams: f.streams, Dir: t.TempDir(), KEKs: c.keks}, cancel)
		if cancel(); err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: the service started, or its error is %v", name, err)
		}
	}
}

func TestPermissions_OnlyAServiceWithSealedEventsMayUseKeys(t *testing.T) {
	f, _ := withKeys(t)
	sealed := f.notes()
	if got := sealed.Permissions(f.streams).Publish; !slices.Contains(got, "$JS.API.STREAM.MSG.GET.KEYS") || !slices.Contains(got, "keys.*") {
		t.Errorf("a service with sealed events may publish to %q", got)
	}
	plain := f.counters()
	for _, subject := range plain.Permissions(f.streams).Publish {
		if strings.Contains(subject, "KEYS") || strings.HasPrefix(subject, "keys.") {
			t.Errorf("a service without sealed events may publish to %s", subject)
		}
	}
}
