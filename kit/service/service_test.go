package service_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/prometheus/client_golang/prometheus"

	"lonja/kit/bus"
	"lonja/kit/decider"
	"lonja/kit/errs"
	"lonja/kit/eventlog"
	"lonja/kit/kittest"
	"lonja/kit/projection"
	"lonja/kit/revocation"
	"lonja/kit/service"
	"lonja/kit/streams"
)

const config = `
streams:
  - name: TOYS
    subjects: [events.counter.>]
    allow_direct: true
    consumers:
      - {durable_name: toys-echo, filter_subjects: [events.counter.*.added], ack_policy: explicit, max_deliver: -1}
  - name: TIMERS
    subjects: [timers.>]
    allow_direct: true
    allow_msg_schedules: true
    allow_msg_ttl: true
    allow_rollup_hdrs: true
    consumers:
      - {durable_name: toys-later, filter_subjects: [timers.due.toys-later.>], ack_policy: explicit, max_deliver: -1}
  - name: DEADLETTERS
    subjects: [deadletters.>]
    allow_direct: true
  - name: RETRIES
    subjects: [retries.>]
    retention: workqueue
    consumers:
      - {durable_name: toys-retries, filter_subjects: [retries.toys.>], ack_policy: explicit, max_deliver: -1}
  - name: DEFERRED
    subjects: [deferred.>, outcomes.>]
    allow_direct: true
    consumers:
      - {durable_name: toys-deferred, filter_subjects: [deferred.toys.>], ack_policy: explicit, max_deliver: -1}
`

// add adds to a counter; zero panics, one hundred is refused.
type add struct {
	Counter string `json:"counter"`
	By      int    `json:"by"`
}

func (add) CommandName() string { return "toys.add" }
func (a add) EntityID() string  { return a.Counter }
func (a add) Check() error      { return nil }

// total asks for a counter.
type total struct {
	Counter string `json:"counter"`
}

func (total) QueryName() string { return "toys.total" }

// world is a server and a toy service on it.
type world struct {
	*bus.Client
	t        *testing.T
	log      *kittest.Log
	streams  *streams.Config
	dir      string
	registry *prometheus.Registry // of all that runs in this world
	broken   atomic.Bool          // reactions, and the addition of seven, fail while it is true
	tries    atomic.Int64
	fails    func(try int64) error // of a reaction, from 1 on; nil fails none
	gate     sync.Mutex            // views stand still while it is locked
	store    func() context.Context
}

func newWorld(t *testing.T) *world { return newWorldWith(t, "") }

// newWorldWith has more streams than usual.
func newWorldWith(t *testing.T, more string) *world {
	t.Helper()
	log := kittest.New(t)
	c, err := streams.Parse([]byte(config + more))
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Apply(t.Context(), log.JS, 0); err != nil {
		t.Fatal(err)
	}
	return &world{Client: bus.NewClient(log.Conn), t: t, log: log, streams: c, dir: t.TempDir(), registry: prometheus.NewPedanticRegistry()}
}

// toys is a service that adds to counters. To every counter "x" that is added
// to, it adds the same to "echo-x"; and, a little later, to "later-x".
func (w *world) toys() *service.Service {
	counters := decider.New(decider.EntityType[int]{Subject: "events.counter", Stream: kittest.Stream,
		Evolve: func(n int, e eventlog.Event, _ time.Time) int { return n + e.(kittest.Added).By }})
	totals := projection.New(projection.Definition{
		Name:   "totals",
		Schema: `CREATE TABLE totals (counter TEXT PRIMARY KEY, total INTEGER NOT NULL);`,
		Reads:  []projection.Source{{Stream: kittest.Stream, Subjects: []string{"events.counter.>"}}},
		Project: func(tx *projection.Tx, r eventlog.Record) error {
			w.gate.Lock()
			defer w.gate.Unlock()
			e := r.Event.(kittest.Added)
			return tx.Exec(`INSERT INTO totals VALUES (?, ?) ON CONFLICT (counter) DO UPDATE SET total = total + excluded.total`, e.Counter, e.By)
		},
	})
	follow := func(prefix string) service.Handler {
		return service.React(counters, func(e kittest.Added) string {
			if strings.Contains(e.Counter, "-") {
				return ""
			}
			w.tries.Add(1)
			return prefix + e.Counter
		}, func(_ int, e kittest.Added, m decider.Meta) (eventlog.Event, error) {
			if w.broken.Load() {
				panic("broken")
			}
			if w.fails != nil {
				if err := w.fails(w.tries.Load()); err != nil {
					return nil, err
				}
			}
			return kittest.Added{Counter: m.EntityID, By: e.By}, nil
		})
	}
	return &service.Service{
		Name:  "toys",
		Views: []*projection.View{totals},
		Commands: []service.Command{
			service.Handle(counters, func(_ int, c add, m decider.Meta) (eventlog.Event, error) {
				switch c.By {
				case 0:
					panic("zero")
				case 7:
					if w.broken.Load() {
						panic("broken")
					}
				case 100:
					return nil, errs.InvalidField("by", "must not be 100")
				}
				return kittest.Added{Counter: c.Counter, By: c.By}, nil
			}).Reply(func(n int, _ eventlog.Event) any { return n }),
		},
		Reactions: []service.Reaction{
			{Consumer: "toys-echo", Handlers: []service.Handler{follow("echo-")}},
			{Consumer: "toys-later", Handlers: []service.Handler{follow("later-")}},
		},
		Queries: []service.Query{
			service.Answer(totals, func(ctx context.Context, q total, _ eventlog.Actor) (any, error) {
				var n int
				_, err := totals.Get(ctx, `SELECT total FROM totals WHERE counter = ?`, []any{q.Counter}, &n)
				return n, err
			}),
		},
	}
}

// start runs the service and returns when it is ready.
func (w *world) start() (stop func()) {
	w.t.Helper()
	return w.run(w.toys())
}

// run is start for a service that is not quite toys.
func (w *world) run(s *service.Service) (stop func()) {
	w.t.Helper()
	ready, failed, stop := w.begin(s)
	select {
	case <-ready:
	case err := <-failed:
		w.t.Fatal(err)
	}
	return stop
}

// begin runs the service until stop is called or the test ends.
func (w *world) begin(s *service.Service) (ready <-chan struct{}, failed <-chan error, stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	serving, done := make(chan struct{}), make(chan error, 1)
	go func() {
		done <- s.Run(ctx, service.Config{Application: "toys", Conn: w.log.Conn, Codec: kittest.Codec, Streams: w.streams, Dir: w.dir, Store: w.store,
			Logger: slog.New(slog.DiscardHandler), Metrics: w.registry}, func() { close(serving) })
	}()
	stopped := false
	stop = func() {
		if !stopped {
			stopped = true
			cancel()
			if err := <-done; err != nil {
				w.t.Error(err)
			}
		}
	}
	w.t.Cleanup(stop)
	return serving, done, stop
}

func (w *world) awaitTotal(counter string, want int) {
	w.t.Helper()
	w.eventually(func() error {
		body, err := w.Query(w.t.Context(), total{counter}, eventlog.Envelope{})
		if err == nil && string(body) != fmt.Sprint(want) {
			err = fmt.Errorf("total of %s is %s, want %d", counter, body, want)
		}
		return err
	})
}

func (w *world) eventually(try func() error) {
	w.t.Helper()
	deadline, tick := time.After(time.Minute), time.NewTicker(5*time.Millisecond)
	defer tick.Stop()
	for {
		err := try()
		if err == nil {
			return
		}
		select {
		case <-tick.C:
		case <-deadline:
			w.t.Fatal(err)
		}
	}
}

func TestACommandIsAnsweredAndReactedTo(t *testing.T) {
	w := newWorld(t)
	w.start()
	r, err := w.Send(t.Context(), add{"c", 3}, eventlog.Envelope{})
	if err != nil || string(r.Body) != "3" || r.Position == "" || r.EntityID != "c" {
		t.Fatalf("%+v, %v", r, err)
	}
	w.awaitTotal("echo-c", 3)
}

func TestBadCommandsAreRefusedAndStopNothing(t *testing.T) {
	w := newWorld(t)
	w.start()
	for _, test := range []struct{ payload, code, field string }{
		{`{"counter":"c","by":100}`, "invalid", "by"},
		{`{"counter":"c","by":"x"}`, "invalid", "by"},
		{`{"counter":"c","by":1e99}`, "invalid", "by"},
		{`{"counter":"c","buy":1}`, "invalid", "buy"},
		{`{"counter":"c"} {}`, "invalid", ""},
		{`garbage`, "invalid", ""},
		{`{"counter":"c","by":0}`, "internal", ""},
	} {
		m, err := w.log.Conn.Request("commands.toys.add", []byte(test.payload), 5*time.Second)
		if err != nil {
			t.Fatal(err)
		}
		var r errs.Error
		if err := json.Unmarshal(m.Data, &r); err != nil || string(r.Code) != test.code || r.Field != test.field {
			t.Errorf("%s: got %s", test.payload, m.Data)
		}
		if strings.Contains(string(m.Data), "zero") {
			t.Errorf("an internal error is shown: %s", m.Data)
		}
	}
	repeated := &nats.Msg{Subject: "commands.toys.add", Header: nats.Header{"twice": {"a", "b"}}, Data: []byte(`{}`)}
	m, err := w.log.Conn.RequestMsg(repeated, 5*time.Second)
	if err != nil || m.Header.Get(bus.HeaderErrorCode) != "invalid" {
		t.Errorf("a repeated header: %v, %v", m, err)
	}
	if _, err := w.Send(t.Context(), add{"c", 1}, eventlog.Envelope{}); err != nil {
		t.Error(err)
	}
}

func TestWhatFailsForEverGoesToTheDeadLettersOnceAndBackWhenRetried(t *testing.T) {
	w := newWorld(t)
	w.start()
	box := bus.NewDeadLetterQueue(w.log.JS)
	poison := w.log.Poison("events.counter.c.added", "garbage")
	w.broken.Store(true)
	event := w.log.Add("c", 5)
	var letters []bus.DeadLetter
	w.eventually(func() (err error) {
		letters, _, err = box.List(t.Context(), 1, 10)
		if err == nil && len(letters) < 2 {
			err = fmt.Errorf("%d letters", len(letters))
		}
		return err
	})
	want := map[string]uint64{"undecodable": poison, "toys-echo": event}
	for _, l := range letters {
		if want[l.Consumer] != l.Sequence || l.Stream != kittest.Stream || l.Reason == "" {
			t.Errorf("letter %+v", l)
		}
	}
	if len(letters) != 2 || !strings.Contains(letters[1].Reason, "panic: broken") {
		t.Errorf("letters %+v", letters)
	}
	w.broken.Store(false)
	if to, err := box.Retry(t.Context(), letters[1].ID, w.streams); err != nil || fmt.Sprint(to) != "[toys-echo]" {
		t.Fatal(to, err)
	}
	w.awaitTotal("echo-c", 5)
	if err := box.Drop(t.Context(), letters[0].ID); err != nil {
		t.Error(err)
	}
	if left, total, err := box.List(t.Context(), 1, 10); err != nil || len(left) != 0 || total != 0 {
		t.Errorf("left %+v, %d, %v", left, total, err)
	}
	if err := box.Drop(t.Context(), letters[0].ID); !errs.Is(err, errs.NotFound) {
		t.Errorf("dropped twice: %v", err)
	}
}

func TestWhatIsRetriedInVainComesBackAsALetter(t *testing.T) {
	w := newWorld(t)
	w.start()
	box := bus.NewDeadLetterQueue(w.log.JS)
	w.broken.Store(true)
	w.log.Add("c", 5)
	for range 2 {
		w.eventually(func() error {
			letters, _, err := box.List(t.Context(), 1, 10)
			if err == nil && (len(letters) != 1 || letters[0].Consumer != "toys-echo") {
				err = fmt.Errorf("letters %+v", letters)
			}
			if err == nil {
				_, err = box.Retry(t.Context(), letters[0].ID, w.streams)
			}
			return err
		})
	}
}

func TestADeferredCommandIsTakenUpOnceAndItsOutcomeKept(t *testing.T) {
	w := newWorld(t)
	stop := w.start()
	reached := eventlog.Envelope{ID: eventlog.NewID(), Actor: eventlog.Actor{ID: "ana"}}
	if _, err := w.Send(t.Context(), add{"c", 1}, reached); err != nil {
		t.Fatal(err)
	}
	stop()
	if _, err := w.Send(t.Context(), add{"c", 1}, eventlog.Envelope{}); !errors.Is(err, bus.ErrNoService) {
		t.Fatalf("want ErrAbsent, got %v", err)
	}
	fresh, refused := eventlog.Envelope{ID: eventlog.NewID()}, eventlog.Envelope{ID: eventlog.NewID()}
	for _, left := range []struct {
		cmd add
		env eventlog.Envelope
	}{{add{"c", 1}, reached}, {add{"c", 2}, fresh}, {add{"c", 100}, refused}, {add{"c", 2}, fresh}} {
		if err := w.Defer(t.Context(), left.cmd, left.env); err != nil {
			t.Fatal(err)
		}
	}
	if o, _, err := w.Outcome(t.Context(), fresh.ID); err != nil || o.Status != bus.Pending {
		t.Fatalf("%+v, %v", o, err)
	}
	w.start()
	for id, want := range map[string]string{
		reached.ID: `done 1 <nil>`,
		fresh.ID:   `done 3 <nil>`,
		refused.ID: `refused  invalid: by must not be 100`,
	} {
		w.eventually(func() error {
			o, _, err := w.Outcome(t.Context(), id)
			if err != nil {
				return err
			}
			problem := any(nil)
			if o.Problem != nil {
				problem = o.Problem
			}
			if got := fmt.Sprintf("%s %s %v", o.Status, o.Result, problem); got != want {
				return fmt.Errorf("outcome is %q, want %q", got, want)
			}
			return nil
		})
	}
	w.awaitTotal("c", 3)
	if _, owner, err := w.Outcome(t.Context(), reached.ID); err != nil || owner != "ana" {
		t.Errorf("owner %q, %v", owner, err)
	}
	if _, _, err := w.Outcome(t.Context(), eventlog.NewID()); !errs.Is(err, errs.NotFound) {
		t.Errorf("an unknown command: %v", err)
	}
}

func TestWhoseTokenWasRevokedIsRefused(t *testing.T) {
	w := newWorldWith(t, "  - {name: REVOCATIONS, subjects: [revocations.>], max_msgs_per_subject: 1, allow_direct: true}\n")
	stop := w.start()
	if err := revocation.Revoke(t.Context(), w.log.JS, "ana", 10); err != nil {
		t.Fatal(err)
	}
	by := func(user string, signed uint64) eventlog.Envelope {
		return eventlog.Envelope{ID: eventlog.NewID(), Actor: eventlog.Actor{ID: user, Signed: signed}}
	}
	for _, c := range []struct {
		from eventlog.Envelope
		code errs.Code
	}{{by("ana", 9), errs.Unauthenticated}, {by("ana", 0), errs.Unauthenticated}, {by("ana", 10), ""}, {by("bob", 9), ""}, {by("", 0), ""}} {
		_, sent := w.Send(t.Context(), add{"c", 1}, c.from)
		_, asked := w.Query(t.Context(), total{"c"}, c.from)
		for _, err := range []error{sent, asked} {
			if c.code == "" && err != nil || c.code != "" && !errs.Is(err, c.code) {
				t.Errorf("%+v: want %q, got %v", c.from.Actor, c.code, err)
			}
		}
	}
	w.awaitTotal("c", 3)

	// What was accepted while she was trusted is done, though she is no longer.
	stop()
	left := by("ana", 9)
	if err := w.Defer(t.Context(), add{"c", 1}, left); err != nil {
		t.Fatal(err)
	}
	w.start()
	w.awaitTotal("c", 4)
}

func TestASharedConsumerThatIsDeletedComesBack(t *testing.T) {
	w := newWorld(t)
	w.start()
	w.log.Add("a", 1)
	w.awaitTotal("echo-a", 1)
	if err := w.log.JS.DeleteConsumer(t.Context(), kittest.Stream, "toys-echo"); err != nil && !errors.Is(err, jetstream.ErrConsumerNotFound) {
		t.Fatal(err)
	}
	w.log.Add("b", 2)
	w.awaitTotal("echo-b", 2)
	w.awaitTotal("echo-a", 1) // what it saw before changed nothing
}
