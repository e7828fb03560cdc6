package decider_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"lonja/kit/decider"
	"lonja/kit/errs"
	"lonja/kit/eventlog"
	"lonja/kit/kittest"
)

// Turned says where a dial stands since it was turned. It is the whole state.
type Turned struct {
	Dial  string `json:"dial"`
	At    int    `json:"at"`
	Turns int    `json:"turns"`
}

func (Turned) EventName() string  { return "dial.turned.v1" }
func (e Turned) EntityID() string { return e.Dial }
func (Turned) Check() error       { return nil }

var dialCodec = eventlog.NewCodec("kittest", Turned{}, kittest.Added{})

var dialType = decider.EntityType[Turned]{Subject: "events.dial", Stream: "DIALS", Prefix: "dial_", Expires: true,
	Evolve: func(_ Turned, e eventlog.Event, _ time.Time) Turned { return e.(Turned) }}

// turn decides to turn a dial, up to its third turn.
func turn(to int) decider.Decide[Turned] {
	return func(s Turned, m decider.Meta) (eventlog.Event, error) {
		if s.Turns == 3 {
			return nil, errs.New(errs.Conflict, "it is worn out")
		}
		return Turned{Dial: m.EntityID, At: to, Turns: s.Turns + 1}, nil
	}
}

func standsAt(s Turned, _ eventlog.Event) any { return s.At }

// dials is a log of dials. Its stream removes what is older than its age.
type dials struct {
	*kittest.Log
	log    *eventlog.Log
	stream jetstream.Stream
}

func newDials(t *testing.T, age time.Duration) dials {
	t.Helper()
	on := kittest.New(t)
	stream, err := on.JS.CreateStream(t.Context(), jetstream.StreamConfig{Name: "DIALS", Subjects: []string{"events.dial.>"},
		MaxAge: age, Duplicates: min(age, time.Minute), AllowDirect: true})
	if err != nil {
		t.Fatal(err)
	}
	return dials{on, eventlog.New(on.JS, dialCodec), stream}
}

func (l dials) decider(of decider.EntityType[Turned]) *decider.Decider[Turned] {
	d := decider.New(of)
	d.Bind(l.log, decider.Config{Source: "test"})
	return d
}

// awaitFirst waits until the server has removed every message below a sequence.
func (l dials) awaitFirst(t *testing.T, seq uint64) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); ; {
		info, err := l.stream.Info(t.Context())
		if err != nil || time.Now().After(deadline) {
			t.Fatalf("the stream still begins at %d: %v", info.State.FirstSeq, err)
		}
		if info.State.FirstSeq >= seq {
			return
		}
	}
}

// An entity whose events have all reached their age is a new one, also for a process that still
// has it in memory: it neither asks for ever nor remembers what nobody else can.
func TestExpires_AnEntityWhoseEventsAreGoneIsNew(t *testing.T) {
	log := newDials(t, time.Second)
	remembers := log.decider(dialType)
	for i := range 3 {
		if _, err := remembers.Decide(t.Context(), command(fmt.Sprint("w", i), "d"), turn(i), nil); err != nil {
			t.Fatal(err)
		}
	}
	log.awaitFirst(t, 4)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	if err := remembers.Peek(ctx, "d", func(s Turned) {
		if s != (Turned{}) {
			t.Errorf("it is still %+v", s)
		}
	}); err != nil {
		t.Fatal(err)
	}
	for n, d := range []*decider.Decider[Turned]{remembers, log.decider(dialType)} {
		got, err := d.Decide(ctx, command(fmt.Sprint("x", n), "d"), turn(7+n), standsAt)
		if err != nil || got.Replayed || got.Reply != 7+n || got.Record.Event.(Turned).Turns != n+1 {
			t.Errorf("%d: %+v, %v", n, got, err)
		}
	}
}

// The same holds where nothing was read in between: the append tells, and a command that was
// recorded is decided again once its event is gone.
func TestExpires_AppendsAndRepeatedCommandsFindOut(t *testing.T) {
	log := newDials(t, time.Second)
	d := log.decider(dialType)
	for _, id := range []string{"w1", "w2"} {
		if got, err := d.Decide(t.Context(), command(id, "d"), turn(1), standsAt); err != nil || got.Replayed {
			t.Fatalf("%+v, %v", got, err)
		}
	}
	if again, err := d.Decide(t.Context(), command("w1", "d"), turn(9), standsAt); err != nil || !again.Replayed || again.Reply != 1 {
		t.Errorf("while its event is there, a command is repeated as %+v, %v", again, err)
	}
	log.awaitFirst(t, 3)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	got, err := d.Decide(ctx, command("w1", "d"), turn(5), standsAt)
	if err != nil || got.Replayed || got.Reply != 5 || got.Sequence != 3 || got.Record.Event.(Turned).Turns != 1 {
		t.Errorf("afterwards, it is decided as %+v, %v", got, err)
	}
}

// A command that has left the window is looked for in the log, which may have nothing any more.
func TestExpires_CommandsOutsideOfTheWindowMayBeGone(t *testing.T) {
	log := newDials(t, time.Second)
	d := decider.New(dialType)
	d.Bind(log.log, decider.Config{Source: "test", CommandWindow: 1})
	for i := range 3 {
		if _, err := d.Decide(t.Context(), command(fmt.Sprint("w", i), "d"), turn(i), nil); err != nil {
			t.Fatal(err)
		}
	}
	log.awaitFirst(t, 4)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	got, err := d.Decide(ctx, command("w0", "d"), turn(5), standsAt)
	if err != nil || got.Replayed || got.Reply != 5 || got.Record.Event.(Turned).Turns != 1 {
		t.Errorf("it is decided as %+v, %v", got, err)
	}
}

// Any of the last events leads to the state that all of them lead to, so what a process makes of
// an entity does not depend on how many are left.
func TestExpires_AnyLastEventsMakeTheState(t *testing.T) {
	log := newDials(t, time.Hour)
	d := log.decider(dialType)
	for i := range 3 {
		if _, err := d.Decide(t.Context(), command(fmt.Sprint("w", i), "d"), turn(i), nil); err != nil {
			t.Fatal(err)
		}
	}
	for first := uint64(1); first <= 3; first++ { // as by age, from the beginning
		if err := log.stream.Purge(t.Context(), jetstream.WithPurgeSequence(first)); err != nil {
			t.Fatal(err)
		}
		if err := log.decider(dialType).Peek(t.Context(), "d", func(s Turned) {
			if s != (Turned{Dial: "d", At: 2, Turns: 3}) {
				t.Errorf("from %d on, it is %+v", first, s)
			}
		}); err != nil {
			t.Fatal(err)
		}
		if _, err := log.decider(dialType).Decide(t.Context(), command(fmt.Sprint("late", first), "d"), turn(8), nil); !errs.Is(err, errs.Conflict) {
			t.Errorf("from %d on, the decision is another: %v", first, err)
		}
	}
}

// A message that is removed while others are loaded ends the loading, not the patience.
func TestLoad_EndsWhenTheLastMessageIsGone(t *testing.T) {
	log := newDials(t, time.Hour)
	d := log.decider(dialType)
	if _, err := d.Decide(t.Context(), command("w", "d"), turn(1), nil); err != nil {
		t.Fatal(err)
	}
	if err := log.stream.Purge(t.Context()); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	if err := log.log.Load(ctx, "DIALS", "events.dial.d.>", 0, 1, func(eventlog.Record) {}); !errors.Is(err, eventlog.ErrGone) {
		t.Errorf("loading ended with %v", err)
	}
}

// formerly has counters where dials were before: the codec knows both.
func formerly(used *bool) decider.EntityType[Turned] {
	of := dialType
	of.Evolve = func(s Turned, e eventlog.Event, _ time.Time) Turned {
		if added, former := e.(kittest.Added); former {
			return Turned{Dial: added.Counter, At: s.At + added.By, Turns: s.Turns + 1}
		}
		return e.(Turned)
	}
	of.Former = &decider.Former{Subject: "events.counter", Stream: kittest.Stream, Prefix: "cnt_", Used: func(context.Context) bool { return *used }}
	return of
}

// turnEither is turn for an entity of either stream.
func turnEither(to int) decider.Decide[Turned] {
	return func(s Turned, m decider.Meta) (eventlog.Event, error) {
		if len(m.EntityID) > 4 && m.EntityID[:4] == "cnt_" {
			return kittest.Added{Counter: m.EntityID, By: to - s.At}, nil
		}
		return turn(to)(s, m)
	}
}

// An entity stays on the stream that its id tells, and a command that made one finds it again
// wherever new ones are recorded by then.
func TestFormer_AnEntityStaysWhereItBegan(t *testing.T) {
	log := newDials(t, time.Hour)
	used := true
	d := log.decider(formerly(&used))
	made := map[string]decider.Receipt{}
	for _, c := range []struct {
		id     string
		used   bool
		stream string
	}{{"before", true, kittest.Stream}, {"after", false, "DIALS"}} {
		used = c.used
		got, err := d.Decide(t.Context(), command(c.id, ""), turnEither(4), standsAt)
		if err != nil || got.Stream != c.stream || got.Reply != 4 {
			t.Fatalf("%s: %+v, %v", c.id, got, err)
		}
		made[c.id] = got
	}
	for _, used = range []bool{true, false} {
		for id, first := range made {
			for name, d := range map[string]*decider.Decider[Turned]{"the same process": d, "another": log.decider(formerly(&used))} {
				got, err := d.Decide(t.Context(), command(id, ""), turnEither(9), standsAt)
				if err != nil || !got.Replayed || got.EntityID != first.EntityID || got.Stream != first.Stream || got.Sequence != first.Sequence || got.Reply != 4 {
					t.Errorf("%s again in %s process, used %v: %+v, %v", id, name, used, got, err)
				}
			}
		}
	}
	for id, first := range made {
		got, err := log.decider(formerly(&used)).Decide(t.Context(), command("turn "+id, first.EntityID), turnEither(6), standsAt)
		if err != nil || got.Stream != first.Stream || got.Reply != 6 {
			t.Errorf("%s is turned on %s with %v, %v", id, got.Stream, got.Reply, err)
		}
	}
}
