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

// newerCodec also knows doubled.
var newerCodec = eventlog.NewCodec("kittest", kittest.Added{}, doubled{})

// publish stores a message with an event type, known or not.
func publish(t *testing.T, log *kittest.Log, subject, typ string) {
	t.Helper()
	id := eventlog.NewID()
	header := eventlog.Envelope{ID: id, Type: typ, Causation: "test-" + id, Time: time.Now()}.Header()
	if _, err := log.JS.PublishMsg(t.Context(), &nats.Msg{Subject: subject, Header: header, Data: []byte(`{"counter":"c"}`)}); err != nil {
		t.Fatal(err)
	}
}

// An older replica decides nothing on the entity, whether it has the state before the
// unknown event in memory or not.
func TestDecider_LeavesAnEntityWithAnUnknownEventToANewerProgram(t *testing.T) {
	log := kittest.New(t)
	older := newDecider(log)
	newer := decider.New(decider.EntityType[int]{Subject: "events.counter", Stream: kittest.Stream, Evolve: func(n int, e eventlog.Event, at time.Time) int {
		if _, ok := e.(doubled); ok {
			return 2 * n
		}
		return counterType.Evolve(n, e, at)
	}})
	newer.Bind(eventlog.New(log.JS, newerCodec), decider.Config{})
	if _, err := older.Decide(t.Context(), command("w1", "c"), add(4), total); err != nil {
		t.Fatal(err)
	}
	publish(t, log, "events.counter.c.doubled", "kittest.counter.doubled.v1")
	for name, replica := range map[string]*decider.Decider[int]{"that has the state": older, "that has just started": newDecider(log)} {
		for what, by := range map[string]int{"an event": 3, "nothing": 0, "a rejection": 7} {
			if r, err := replica.Decide(t.Context(), command("w-"+what, "c"), add(by), total); !errs.Is(err, errs.Unavailable) {
				t.Errorf("a replica %s decides %s: %+v, %v", name, what, r, err)
			}
		}
		if err := replica.Peek(t.Context(), "c", func(n int) { t.Errorf("a replica %s shows %d", name, n) }); !errs.Is(err, errs.Unavailable) {
			t.Errorf("a replica %s peeks: %v", name, err)
		}
		if r, err := replica.Decide(t.Context(), command("other-"+name, "d"), add(1), total); err != nil || r.Reply == 0 {
			t.Errorf("another entity: %+v, %v", r, err)
		}
	}
	if r, err := newer.Decide(t.Context(), command("w-an event", "c"), add(2), total); err != nil || r.Reply != 10 {
		t.Errorf("the newer program: %+v, %v", r, err)
	}
}

// A message that no program can have recorded as an event does not block the entity.
func TestDecider_SkipsAnEventTypeThatDoesNotFitTheSubject(t *testing.T) {
	log := kittest.New(t)
	for _, typ := range []string{"nonsense", "", "kittest.counter.doubled", "kittest.counter.halved.v1", "kittest.order.doubled.v1", "kittest.counter.added.v1"} {
		publish(t, log, "events.counter.c.doubled", typ)
	}
	publish(t, log, "events.counter.c.deeper.doubled", "kittest.counter.doubled.v1")
	if r, err := newDecider(log).Decide(t.Context(), command("w1", "c"), add(3), total); err != nil || r.Reply != 3 {
		t.Errorf("%+v, %v", r, err)
	}
}
