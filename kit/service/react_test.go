package service_test

import (
	"context"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"lonja/kit/decider"
	"lonja/kit/errs"
	"lonja/kit/eventlog"
	"lonja/kit/kittest"
	"lonja/kit/service"
)

// twoSteps is a service whose command adds to a counter and then, by its own reaction, the same
// to "echo-" and the counter's name. Fail, which may be nil, is the error of the second step.
func twoSteps(fail func() error, reacts bool) *service.Service {
	counters := newCounters()
	echo := service.React(counters, func(e kittest.Added) string {
		if len(e.Counter) > 1 {
			return "" // an echo has none
		}
		return "echo-" + e.Counter
	}, func(_ int, e kittest.Added, m decider.Meta) (eventlog.Event, error) {
		if fail != nil {
			if err := fail(); err != nil {
				return nil, err
			}
		}
		return kittest.Added{Counter: m.EntityID, By: e.By}, nil
	}).Reply(func(n int, _ eventlog.Event) any { return n })
	s := &service.Service{Name: "counters", Commands: []service.Command{
		service.Handle(counters, func(_ int, c add, _ decider.Meta) (eventlog.Event, error) {
			if c.By == 0 {
				return nil, nil
			}
			return kittest.Added{Counter: c.Counter, By: c.By}, nil
		}).Reply(func(int, eventlog.Event) any { return "nothing new" }).Then("counters-echo", echo),
	}}
	if reacts {
		s.Reactions = []service.Reaction{{Consumer: "counters-echo", Handlers: []service.Handler{echo}}}
	}
	return s
}

// The command and the consumer both take the second step, which has one event.
func TestThen_AnswersWithTheReaction(t *testing.T) {
	f := newFixture(t)
	f.run(twoSteps(nil, true))
	for n := 1; n <= 20; n++ {
		id := eventlog.Envelope{ID: eventlog.NewID()}
		once, err := f.Send(t.Context(), add{Counter: "x", By: 1}, id)
		if err != nil || once.EntityID != "echo-x" || once.Replayed || string(once.Body) != strconv.Itoa(n) {
			t.Fatalf("%d: %+v %s, %v", n, once, once.Body, err)
		}
		twice, err := f.Send(t.Context(), add{Counter: "x", By: 1}, id)
		if err != nil || !twice.Replayed || twice.Position != once.Position || string(twice.Body) != strconv.Itoa(n) {
			t.Fatalf("%d again: %+v %s, %v", n, twice, twice.Body, err)
		}
	}
	if nothing, err := f.Send(t.Context(), add{Counter: "x"}, eventlog.Envelope{}); err != nil || nothing.EntityID != "x" || string(nothing.Body) != `"nothing new"` {
		t.Errorf("%+v %s, %v", nothing, nothing.Body, err)
	}
}

func TestThen_SecondStepIsTakenWhenTheCommandComesAgain(t *testing.T) {
	f := newFixture(t)
	var broken atomic.Bool
	broken.Store(true)
	f.run(twoSteps(func() error {
		if broken.Load() {
			return errs.New(errs.Unavailable, "not now")
		}
		return nil
	}, false))
	id := eventlog.Envelope{ID: eventlog.NewID()}
	if _, err := f.Send(t.Context(), add{Counter: "x", By: 3}, id); !errs.Is(err, errs.Unavailable) {
		t.Fatalf("got %v", err)
	}
	broken.Store(false)
	again, err := f.Send(t.Context(), add{Counter: "x", By: 3}, id)
	if err != nil || again.EntityID != "echo-x" || string(again.Body) != "3" || !again.Replayed {
		t.Errorf("%+v %s, %v", again, again.Body, err)
	}
}

// An event's handlers do not wait for each other's failures.
func TestReaction_SeveralHandlersOfAnEvent(t *testing.T) {
	f := newFixture(t)
	s := f.counters()
	var failed atomic.Int64
	failing := service.React(decider.New(decider.EntityType[int]{Subject: "events.counter", Stream: kittest.Stream,
		Evolve: func(n int, _ eventlog.Event, _ time.Time) int { return n }}),
		func(kittest.Added) string {
			if failed.Add(1) <= 2 {
				panic("broken")
			}
			return ""
		}, func(int, kittest.Added, decider.Meta) (eventlog.Event, error) { return nil, nil })
	s.Reactions[0].Handlers = append([]service.Handler{failing}, s.Reactions[0].Handlers...)
	if names := s.Reactions[0].EventNames(); len(names) != 1 {
		t.Errorf("handles %v", names)
	}
	f.run(s)
	if _, err := f.Send(t.Context(), add{Counter: "x", By: 2}, eventlog.Envelope{}); err != nil {
		t.Fatal(err)
	}
	f.awaitTotal("echo-x", 2)
	f.eventually(func() error {
		if failed.Load() <= 2 {
			return errs.New(errs.Unavailable, "the failed handler was not tried again")
		}
		return nil
	})
	f.awaitTotal("echo-x", 2)
}

// A decision that needs to know more says so, and gets it; from then on it gets it at once.
func TestReactWith_LooksUpWhatADecisionNeeds(t *testing.T) {
	f := newFixture(t)
	var mu sync.Mutex
	var asked []string
	lookUp := func(_ context.Context, e kittest.Added, least uint64) (uint64, error) {
		mu.Lock()
		defer mu.Unlock()
		asked = append(asked, e.Counter+" "+strconv.FormatUint(least, 10))
		return least, nil
	}
	counters := newCounters()
	s := f.counters()
	s.Reactions = s.Reactions[:1]
	s.Reactions[0].Handlers = []service.Handler{service.ReactWith(counters, func(e kittest.Added) string {
		if strings.HasPrefix(e.Counter, "echo-") {
			return ""
		}
		return "echo-" + e.Counter
	}, lookUp, func(_ int, e kittest.Added, through uint64, m decider.Meta) (eventlog.Event, error) {
		if e.Counter != "known" && through < 7 {
			return nil, &decider.NeedsLookup{Through: through + 4}
		}
		return kittest.Added{Counter: m.EntityID, By: e.By}, nil
	})}
	f.run(s)
	for _, step := range []struct {
		counter string
		total   int
		asked   string
	}{
		{"known", 2, ""},
		{"x", 2, "x 4, x 8"},
		{"known", 4, "x 4, x 8, known 0"},
		{"x", 4, "x 4, x 8, known 0, x 0, x 4, x 8"},
	} {
		if _, err := f.Send(t.Context(), add{Counter: step.counter, By: 2}, eventlog.Envelope{}); err != nil {
			t.Fatal(err)
		}
		f.awaitTotal("echo-"+step.counter, step.total)
		mu.Lock()
		if got := strings.Join(asked, ", "); got != step.asked {
			t.Errorf("looked up %q, want %q", got, step.asked)
		}
		mu.Unlock()
	}
}

// A lookup knows which event it is for, also when the event does not say so itself.
func TestReactWith_LookupKnowsTheEventsID(t *testing.T) {
	f := newFixture(t)
	ids := make(chan string, 1)
	s := f.counters()
	s.Reactions = s.Reactions[:1]
	s.Reactions[0].Handlers = []service.Handler{service.ReactWith(newCounters(), func(kittest.Added) string { return "echo" },
		func(ctx context.Context, _ kittest.Added, _ uint64) (string, error) { return service.EventID(ctx), nil },
		func(_ int, _ kittest.Added, id string, _ decider.Meta) (eventlog.Event, error) {
			if id == "" {
				return nil, &decider.NeedsLookup{}
			}
			select {
			case ids <- id:
			default: // decided once more
			}
			return nil, nil
		})}
	f.run(s)
	command := eventlog.NewID()
	if _, err := f.Send(t.Context(), add{Counter: "x", By: 2}, eventlog.Envelope{ID: command}); err != nil {
		t.Fatal(err)
	}
	if id := <-ids; id != eventlog.EventID(command) {
		t.Errorf("the lookup is for %q, want %q", id, eventlog.EventID(command))
	}
	if id := service.EventID(t.Context()); id != "" {
		t.Errorf("outside of a reaction it is %q", id)
	}
}
