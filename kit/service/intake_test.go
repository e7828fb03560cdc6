package service_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"

	"lonja/kit/decider"
	"lonja/kit/errs"
	"lonja/kit/eventlog"
	"lonja/kit/kittest"
	"lonja/kit/projection"
	"lonja/kit/service"
)

// held is a service whose reaction takes up every new counter with an event of its own.
func held() *service.Service {
	counters := newCounters()
	seen := projection.New(projection.Definition{
		Name:   "seen",
		Schema: `CREATE TABLE seen (counter TEXT PRIMARY KEY);`,
		Reads:  []projection.Source{{Stream: kittest.Stream, Subjects: []string{"events.counter.>"}}},
		Project: func(tx *projection.Tx, r eventlog.Record) error {
			tx.MarkChanged(r.Event.EntityID())
			return tx.Exec(`INSERT OR IGNORE INTO seen VALUES (?)`, r.Event.EntityID())
		},
	})
	return &service.Service{
		Name:  "counters",
		Views: []*projection.View{seen},
		Commands: []service.Command{
			service.Handle(counters, func(_ int, c add, _ decider.Meta) (eventlog.Event, error) {
				return kittest.Added{Counter: c.Counter, By: c.By}, nil
			}).HeldTo(200*time.Millisecond, seen),
		},
		Reactions: []service.Reaction{{Consumer: "counters-echo", Handlers: []service.Handler{
			service.React(counters, func(e kittest.Added) string { return e.Counter },
				func(n int, e kittest.Added, _ decider.Meta) (eventlog.Event, error) {
					if n != 5 {
						return nil, nil // taken up already
					}
					return kittest.Added{Counter: e.Counter, By: 1}, nil
				}),
		}}},
	}
}

// slowly has one reaction run at a time, fifty in a second.
func slowly(h message.HandlerFunc) message.HandlerFunc {
	var one sync.Mutex
	return func(m *message.Message) ([]*message.Message, error) {
		if message.HandlerNameFromCtx(m.Context()) == "counters-echo" {
			one.Lock()
			defer one.Unlock()
			select {
			case <-time.After(20 * time.Millisecond):
			case <-m.Context().Done():
			}
		}
		return h(m)
	}
}

// TestIntake_TurnsAwayWhatReactionsDoNotCarry has many callers ask for more than the reaction
// takes up. Some are turned away, and nothing of theirs is recorded; what was accepted is taken
// up.
func TestIntake_TurnsAwayWhatReactionsDoNotCarry(t *testing.T) {
	f := newFixture(t)
	f.middleware = []message.HandlerMiddleware{slowly}
	f.run(held())
	var callers sync.WaitGroup
	var mu sync.Mutex
	outcomes := map[string]error{}
	for c := range 100 {
		callers.Go(func() {
			id := fmt.Sprintf("c%d", c)
			_, err := f.Send(t.Context(), add{id, 5}, eventlog.Envelope{ID: eventlog.NewID()})
			mu.Lock()
			defer mu.Unlock()
			outcomes[id] = err
		})
	}
	callers.Wait()
	accepted := 0
	for id, err := range outcomes {
		want := 6
		if err == nil {
			accepted++
		} else if want = 0; !turnedAway(err) {
			t.Errorf("%s: %v", id, err)
		}
		f.eventually(func() error { return f.counts(t.Context(), id, want) })
	}
	if accepted < 16 || accepted == len(outcomes) {
		t.Errorf("%d of %d were accepted", accepted, len(outcomes))
	}
	families, err := f.registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	refused := 0.0
	for _, family := range families {
		if family.GetName() == "counters_intake_refused_total" {
			refused = family.GetMetric()[0].GetCounter().GetValue()
		}
	}
	if refused != float64(len(outcomes)-accepted) {
		t.Errorf("%v were counted as turned away, of %d", refused, len(outcomes)-accepted)
	}
}

func turnedAway(err error) bool {
	var r *errs.Error
	return errors.As(err, &r) && r.Code == errs.Unavailable && r.RetryAfter >= 1
}

// counts returns an error unless the log holds a counter with this sum.
func (f *fixture) counts(ctx context.Context, counter string, want int) error {
	log := eventlog.New(f.log.JS, f.codec)
	last, err := log.Last(ctx, kittest.Stream, "events.counter."+counter+".>")
	sum := 0
	if err == nil {
		err = log.Load(ctx, kittest.Stream, "events.counter."+counter+".>", 0, last, func(r eventlog.Record) { sum += r.Event.(kittest.Added).By })
	}
	if err == nil && sum != want {
		err = fmt.Errorf("%s is %d, want %d", counter, sum, want)
	}
	return err
}
