package service_test

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/prometheus/client_golang/prometheus"

	"lonja/kit/bus"
	"lonja/kit/decider"
	"lonja/kit/errs"
	"lonja/kit/eventlog"
	"lonja/kit/keyring"
	"lonja/kit/kittest"
	"lonja/kit/projection"
	"lonja/kit/service"
	"lonja/kit/streams"
)

const config = `
streams:
  - name: COUNTERS
    subjects: [events.counter.>]
    allow_direct: true
    consumers:
      - {durable_name: counters-echo, filter_subjects: [events.counter.*.added], ack_policy: explicit, max_deliver: -1}
  - name: TIMERS
    subjects: [timers.>]
    allow_direct: true
    allow_msg_schedules: true
    allow_msg_ttl: true
    allow_rollup_hdrs: true
    consumers:
      - {durable_name: counters-later, filter_subjects: [timers.due.counters-later.>], ack_policy: explicit, max_deliver: -1}
  - name: DEADLETTERS
    subjects: [deadletters.>]
    allow_direct: true
  - name: RETRIES
    subjects: [retries.>]
    retention: workqueue
    consumers:
      - {durable_name: counters-retries, filter_subjects: [retries.counters.>], ack_policy: explicit, max_deliver: -1}
  - name: DEFERRED
    subjects: [deferred.>, outcomes.>]
    allow_direct: true
    consumers:
      - {durable_name: counters-deferred, filter_subjects: [deferred.counters.>], ack_policy: explicit, max_deliver: -1}
`

// add adds to a counter; zero panics, one hundred is rejected.
type add struct {
	Counter string `json:"counter"`
	By      int    `json:"by"`
}

func (add) CommandName() string { return "counters.add" }
func (a add) EntityID() string  { return a.Counter }
func (a add) Check() error      { return nil }

// total asks for a counter.
type total struct {
	Counter string `json:"counter"`
}

func (total) QueryName() string { return "counters.total" }

// fixture is a server, and the service of the tests on it.
type fixture struct {
	*bus.Client
	t        *testing.T
	log      *kittest.Log
	streams  *streams.Config
	dir      string
	registry *prometheus.Registry // of every service that runs on the fixture
	broken   atomic.Bool          // reactions, and the addition of seven, fail while it is true
	tries    atomic.Int64
	fails    func(try int64) error // of a reaction, from 1 on; nil fails none
	gate     sync.Mutex            // views stop while it is locked
	store    func() context.Context
	codec    eventlog.Codec
	keks     *keyring.KEKs    // nil for none
	clock    func() time.Time // of the service
	logger   *slog.Logger     // of the service; nil discards
	// What is put around the publisher of events, and around handlers.
	decorators []message.PublisherDecorator
	middleware []message.HandlerMiddleware
}

func newFixture(t *testing.T) *fixture { return newFixtureWith(t, "") }

// newFixtureWith is newFixture with more streams.
func newFixtureWith(t *testing.T, more string) *fixture {
	t.Helper()
	return newFixtureOn(t, config+more)
}

// newFixtureOn is newFixture on other streams.
func newFixtureOn(t *testing.T, config string) *fixture {
	t.Helper()
	log := kittest.New(t)
	c, err := streams.Parse([]byte(config))
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Apply(t.Context(), log.JS, 0); err != nil {
		t.Fatal(err)
	}
	return &fixture{Client: bus.NewClient(log.Conn), t: t, log: log, streams: c, dir: t.TempDir(), registry: prometheus.NewPedanticRegistry(), codec: kittest.Codec}
}

// newCounters returns the decider of counters, whose state is the sum.
func newCounters() *decider.Decider[int] {
	return decider.New(decider.EntityType[int]{Subject: "events.counter", Stream: kittest.Stream,
		Evolve: func(n int, e eventlog.Event, _ time.Time) int { return n + e.(kittest.Added).By }})
}

// counters is a service that adds to counters. To every counter "x" that is added
// to, it adds the same to "echo-x"; and, a little later, to "later-x".
func (f *fixture) counters() *service.Service {
	counters := newCounters()
	totals := projection.New(projection.Definition{
		Name:   "totals",
		Schema: `CREATE TABLE totals (counter TEXT PRIMARY KEY, total INTEGER NOT NULL);`,
		Reads:  []projection.Source{{Stream: kittest.Stream, Subjects: []string{"events.counter.>"}}},
		Project: func(tx *projection.Tx, r eventlog.Record) error {
			f.gate.Lock()
			defer f.gate.Unlock()
			e := r.Event.(kittest.Added)
			return tx.Exec(`INSERT INTO totals VALUES (?, ?) ON CONFLICT (counter) DO UPDATE SET total = total + excluded.total`, e.Counter, e.By)
		},
	})
	follow := func(prefix string) service.Handler {
		return service.React(counters, func(e kittest.Added) string {
			if strings.Contains(e.Counter, "-") {
				return ""
			}
			f.tries.Add(1)
			return prefix + e.Counter
		}, func(_ int, e kittest.Added, m decider.Meta) (eventlog.Event, error) {
			if f.broken.Load() {
				panic("broken")
			}
			if f.fails != nil {
				if err := f.fails(f.tries.Load()); err != nil {
					return nil, err
				}
			}
			return kittest.Added{Counter: m.EntityID, By: e.By}, nil
		})
	}
	return &service.Service{
		Name:  "counters",
		Views: []*projection.View{totals},
		Commands: []service.Command{
			service.Handle(counters, func(_ int, c add, m decider.Meta) (eventlog.Event, error) {
				switch c.By {
				case 0:
					panic("zero")
				case 7:
					if f.broken.Load() {
						panic("broken")
					}
				case 100:
					return nil, errs.InvalidField("by", "must not be 100")
				}
				return kittest.Added{Counter: c.Counter, By: c.By}, nil
			}).Reply(func(n int, _ eventlog.Event) any { return n }),
		},
		Reactions: []service.Reaction{
			{Consumer: "counters-echo", Handlers: []service.Handler{follow("echo-")}},
			{Consumer: "counters-later", Handlers: []service.Handler{follow("later-")}},
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
func (f *fixture) start() (stop func()) {
	f.t.Helper()
	return f.run(f.counters())
}

// run is start for another service.
func (f *fixture) run(s *service.Service) (stop func()) {
	f.t.Helper()
	ready, failed, stop := f.begin(s)
	select {
	case <-ready:
	case err := <-failed:
		f.t.Fatal(err)
	}
	return stop
}

// begin runs the service until stop is called or the test ends.
func (f *fixture) begin(s *service.Service) (ready <-chan struct{}, failed <-chan error, stop func()) {
	return f.beginReplica(s, "")
}

// runReplica is run for a replica of a name.
func (f *fixture) runReplica(s *service.Service, name string) {
	f.t.Helper()
	ready, failed, _ := f.beginReplica(s, name)
	select {
	case <-ready:
	case err := <-failed:
		f.t.Fatal(err)
	}
}

func (f *fixture) beginReplica(s *service.Service, name string) (ready <-chan struct{}, failed <-chan error, stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	serving, done := make(chan struct{}), make(chan error, 1)
	go func() {
		done <- s.Run(ctx, service.Config{Application: "counters", Conn: f.log.Conn, Codec: f.codec, Streams: f.streams, Dir: f.dir, Replica: name, Store: f.store, KEKs: f.keks, Clock: f.clock,
			Logger: f.logger, Metrics: f.registry, PublisherDecorators: f.decorators, Middleware: f.middleware}, func() { close(serving) })
	}()
	stopped := false
	stop = func() {
		if !stopped {
			stopped = true
			cancel()
			if err := <-done; err != nil {
				f.t.Error(err)
			}
		}
	}
	f.t.Cleanup(stop)
	return serving, done, stop
}

func (f *fixture) awaitTotal(counter string, want int) {
	f.t.Helper()
	f.eventually(func() error {
		body, err := f.Query(f.t.Context(), total{counter}, eventlog.Envelope{})
		if err == nil && string(body) != fmt.Sprint(want) {
			err = fmt.Errorf("total of %s is %s, want %d", counter, body, want)
		}
		return err
	})
}

func (f *fixture) eventually(try func() error) {
	f.t.Helper()
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
			f.t.Fatal(err)
		}
	}
}
