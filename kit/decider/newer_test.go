package decider_test

import (
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"lonja/kit/decider"
	"lonja/kit/errs"
	"lonja/kit/eventlog"
	"lonja/kit/kittest"
)

// doubled is an event that only a newer program knows.
type doubled struct {
	Counter string `json:"counter"`
}

func (doubled) EventName() string  { return "counter.doubled.v1" }
func (d doubled) EntityID() string { return d.Counter }
func (doubled) Check() error       { return nil }

// newerLanguage speaks of doubled, too.
var newerLanguage = eventlog.NewCodec("kittest", kittest.Added{}, doubled{})

// stored records a message of a type, whatever it is.
func stored(t *testing.T, log *kittest.Log, subject, typ string) {
	t.Helper()
	id := eventlog.NewID()
	header := eventlog.Envelope{ID: id, Type: typ, Causation: "test-" + id, Time: time.Now()}.Header()
	if _, err := log.JS.PublishMsg(t.Context(), &nats.Msg{Subject: subject, Header: header, Data: []byte(`{"counter":"c"}`)}); err != nil {
		t.Fatal(err)
	}
}

// TestAFactOfANewerProgramIsDecidedUponByThatAlone has a replica of before meet it, with the
// state before it in memory and without.
func TestAFactOfANewerProgramIsDecidedUponByThatAlone(t *testing.T) {
	log := kittest.New(t)
	older := newDecider(log)
	newer := decider.New(decider.EntityType[int]{Subject: "events.counter", Stream: kittest.Stream, Evolve: func(n int, e eventlog.Event, at time.Time) int {
		if _, twice := e.(doubled); twice {
			return 2 * n
		}
		return counterKind.Evolve(n, e, at)
	}})
	newer.Bind(eventlog.New(log.JS, newerLanguage), decider.Config{})
	if _, err := older.Decide(t.Context(), wish("w1", "c"), add(4), total); err != nil {
		t.Fatal(err)
	}
	stored(t, log, "events.counter.c.doubled", "kittest.counter.doubled.v1")
	for name, replica := range map[string]*decider.Decider[int]{"that was there": older, "that has started": newDecider(log)} {
		for what, by := range map[string]int{"a fact": 3, "nothing": 0, "a refusal": 7} {
			if r, err := replica.Decide(t.Context(), wish("w-"+what, "c"), add(by), total); !errs.Is(err, errs.Unavailable) {
				t.Errorf("a replica %s decides %s: %+v, %v", name, what, r, err)
			}
		}
		if err := replica.Peek(t.Context(), "c", func(n int) { t.Errorf("a replica %s shows %d", name, n) }); !errs.Is(err, errs.Unavailable) {
			t.Errorf("a replica %s looks: %v", name, err)
		}
		if r, err := replica.Decide(t.Context(), wish("other-"+name, "d"), add(1), total); err != nil || r.Reply == 0 {
			t.Errorf("another entity: %+v, %v", r, err)
		}
	}
	if r, err := newer.Decide(t.Context(), wish("w-a fact", "c"), add(2), total); err != nil || r.Reply != 10 {
		t.Errorf("the newer one: %+v, %v", r, err)
	}
}

// TestGarbageIsPassedOver is what nobody's program has recorded.
func TestGarbageIsPassedOver(t *testing.T) {
	log := kittest.New(t)
	for _, typ := range []string{"nonsense", "", "kittest.counter.doubled", "kittest.counter.halved.v1", "kittest.order.doubled.v1", "kittest.counter.added.v1"} {
		stored(t, log, "events.counter.c.doubled", typ)
	}
	stored(t, log, "events.counter.c.deeper.doubled", "kittest.counter.doubled.v1")
	if r, err := newDecider(log).Decide(t.Context(), wish("w1", "c"), add(3), total); err != nil || r.Reply != 3 {
		t.Errorf("%+v, %v", r, err)
	}
}
