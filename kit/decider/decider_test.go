package decider_test

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"lonja/kit/decider"
	"lonja/kit/errs"
	"lonja/kit/eventlog"
	"lonja/kit/kittest"
)

// counterType is a counter, which must not exceed limit.
var counterType = decider.EntityType[int]{Subject: "events.counter", Stream: kittest.Stream, Prefix: "cnt_",
	Evolve: func(n int, e eventlog.Event, _ time.Time) int { return n + e.(kittest.Added).By }}

const limit = 10

// add decides to add to a counter; 0 is nothing to do.
func add(by int) decider.Decide[int] {
	return func(n int, m decider.Meta) (eventlog.Event, error) {
		switch {
		case by == 0:
			return nil, nil
		case n+by > limit:
			return nil, errs.New(errs.Conflict, "%d + %d exceeds %d", n, by, limit)
		}
		return kittest.Added{Counter: m.EntityID, By: by}, nil
	}
}

// total replies with the counter's value.
func total(n int, _ eventlog.Event) any { return n }

func newDecider(log *kittest.Log) *decider.Decider[int] {
	d := decider.New(counterType)
	d.Bind(log.Log, decider.Config{Source: "test"})
	return d
}

// command returns a command on a counter; the empty counter is a new one.
func command(id, counter string) decider.Command {
	return decider.Command{Envelope: eventlog.Envelope{ID: id}, EntityID: counter}
}

func TestDecider_RecordsACommandOnceAndRepeatsItsReceipt(t *testing.T) {
	log := kittest.New(t)
	d := newDecider(log)
	first, err := d.Decide(t.Context(), command("w1", "c"), add(3), total)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := d.Decide(t.Context(), command("w2", "c"), add(4), total); err != nil {
		t.Fatal(err)
	}
	for name, replica := range map[string]*decider.Decider[int]{"the same process": d, "another process": newDecider(log)} {
		again, err := replica.Decide(t.Context(), command("w1", "c"), add(3), total)
		if err != nil {
			t.Fatal(err)
		}
		if !again.Replayed || again.EntityID != first.EntityID || again.Sequence != first.Sequence || again.Reply != first.Reply ||
			again.Record.ID != first.Record.ID || again.Record.Event != first.Record.Event {
			t.Errorf("%s returns %+v, want %+v", name, again, first)
		}
	}
	if last, err := log.Last(t.Context(), kittest.Stream, "events.counter.c.>"); err != nil || last != 2 {
		t.Errorf("the log ends at %d, %v", last, err)
	}
}

func TestDecider_RejectsAReusedIDWithAnotherHash(t *testing.T) {
	d := newDecider(kittest.New(t))
	c := command("w1", "c")
	c.RequestHash = "one"
	if _, err := d.Decide(t.Context(), c, add(1), nil); err != nil {
		t.Fatal(err)
	}
	c.RequestHash = "other"
	if _, err := d.Decide(t.Context(), c, add(2), nil); !errs.Is(err, errs.Invalid) {
		t.Errorf("got %v", err)
	}
}

func TestDecider_DerivesANewEntityFromItsCommand(t *testing.T) {
	d := newDecider(kittest.New(t))
	id := "0198f3c2-7c1e-7d50-a4a2-0123456789ab"
	for i := range 2 {
		r, err := d.Decide(t.Context(), command(id, ""), add(1), nil)
		if err != nil || r.EntityID != "cnt_0198f3c27c1e7d50a4a20123456789ab" || r.Replayed != (i == 1) {
			t.Errorf("round %d: %+v, %v", i, r, err)
		}
	}
}

func TestDecider_NeverRejectsOnAStaleState(t *testing.T) {
	log := kittest.New(t)
	here, there := newDecider(log), newDecider(log)
	if _, err := here.Decide(t.Context(), command("w1", "c"), add(10), nil); err != nil {
		t.Fatal(err)
	}
	if _, err := there.Decide(t.Context(), command("w2", "c"), add(1), nil); !errs.Is(err, errs.Conflict) {
		t.Fatalf("want a conflict, got %v", err)
	}
	if _, err := here.Decide(t.Context(), command("w3", "c"), add(-5), nil); err != nil {
		t.Fatal(err)
	}
	if r, err := there.Decide(t.Context(), command("w4", "c"), add(5), total); err != nil || r.Reply != 10 {
		t.Fatalf("decided on a stale state: %+v, %v", r, err)
	}
	if r, err := here.Decide(t.Context(), command("w5", "c"), add(0), total); err != nil || r.Reply != 10 {
		t.Fatalf("nothing to do, but the reply is from a stale state: %+v, %v", r, err)
	}
}

func TestDecider_KeepsTheLimitWhenReplicasRace(t *testing.T) {
	log := kittest.New(t)
	replicas := []*decider.Decider[int]{newDecider(log), newDecider(log), newDecider(log)}
	var racing sync.WaitGroup
	var mu sync.Mutex
	accepted := map[string]bool{}
	for i := range 60 {
		racing.Go(func() {
			id := fmt.Sprintf("w%d", i%30) // every command is sent to two replicas
			_, err := replicas[i%3].Decide(t.Context(), command(id, "c"), add(1), nil)
			switch {
			case err == nil:
				mu.Lock()
				accepted[id] = true
				mu.Unlock()
			case !errs.Is(err, errs.Conflict):
				t.Error(err)
			}
		})
	}
	racing.Wait()
	last, err := log.Last(t.Context(), kittest.Stream, "events.counter.c.>")
	if err != nil || last != limit || len(accepted) != limit {
		t.Errorf("%d events and %d accepted commands, want %d of both (%v)", last, len(accepted), limit, err)
	}
}

func TestDecider_SkipsAMessageThatIsNoEvent(t *testing.T) {
	log := kittest.New(t)
	d := newDecider(log)
	log.Poison("events.counter.c.added", "garbage")
	if _, err := d.Decide(t.Context(), command("w1", "c"), add(1), nil); err != nil {
		t.Fatal(err)
	}
	log.Poison("events.counter.c.unheard", "{}")
	if r, err := d.Decide(t.Context(), command("w2", "c"), add(1), total); err != nil || r.Reply != 2 {
		t.Fatalf("%+v, %v", r, err)
	}
}

func TestDecider_IsUnavailableAndRecordsNothingWhenTheLogIsFull(t *testing.T) {
	log := kittest.New(t)
	d := newDecider(log)
	limitMessages(t, log, 1)
	if _, err := d.Decide(t.Context(), command("w1", "c"), add(1), nil); err != nil {
		t.Fatal(err)
	}
	if _, err := d.Decide(t.Context(), command("w2", "c"), add(1), nil); !errs.Is(err, errs.Unavailable) {
		t.Fatalf("want unavailable, got %v", err)
	}
	limitMessages(t, log, -1)
	if r, err := d.Decide(t.Context(), command("w2", "c"), add(1), total); err != nil || r.Reply != 2 || r.Replayed {
		t.Fatalf("%+v, %v", r, err)
	}
}

func limitMessages(t *testing.T, log *kittest.Log, n int64) {
	t.Helper()
	_, err := log.JS.UpdateStream(t.Context(), jetstream.StreamConfig{Name: kittest.Stream, Subjects: []string{"events.counter.>"},
		AllowDirect: true, MaxMsgs: n, Discard: jetstream.DiscardNew})
	if err != nil {
		t.Fatal(err)
	}
}

func TestLoad_ReturnsManyEventsInOrder(t *testing.T) {
	log := kittest.New(t)
	var want []uint64
	for range 700 { // more than two batches
		want = append(want, log.Add("c", 0))
		log.Add("other", 1)
	}
	var got []uint64
	err := log.Load(t.Context(), kittest.Stream, "events.counter.c.>", 0, want[len(want)-1], func(r eventlog.Record) { got = append(got, r.Sequence) })
	if err != nil || fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("got %d events, want %d (%v)", len(got), len(want), err)
	}
}

func TestDecider_RejectsAReusedIDForAnotherEntity(t *testing.T) {
	log := kittest.New(t)
	d := newDecider(log)
	if _, err := d.Decide(t.Context(), command("w1", "c"), add(1), nil); err != nil {
		t.Fatal(err)
	}
	if _, err := d.Decide(t.Context(), command("w1", "other"), add(1), nil); !errs.Is(err, errs.Invalid) {
		t.Errorf("got %v", err)
	}
}

// What rejects a reused id costs a header, which is left out where an id cannot be reused.
func TestDecider_StoresAMessageIDOnlyWhereTheSenderNamesTheEntity(t *testing.T) {
	log := kittest.New(t)
	d := newDecider(log)
	same := command("w2", "same")
	same.SameEntity = true
	for _, test := range []struct {
		c    decider.Command
		want string
	}{
		{command("w1", "named"), eventlog.DeriveID("fact", "w1")}, // as earlier versions wrote it
		{same, ""},
		{command("w3", ""), ""},
	} {
		receipt, err := d.Decide(t.Context(), test.c, func(_ int, m decider.Meta) (eventlog.Event, error) {
			return kittest.Added{Counter: m.EntityID, By: 1}, nil
		}, nil)
		if err != nil {
			t.Fatal(err)
		}
		r, err := log.At(t.Context(), kittest.Stream, receipt.Sequence)
		if err != nil || r.Headers.Get(jetstream.MsgIDHeader) != test.want {
			t.Errorf("%s: %q, %v", test.c.ID, r.Headers.Get(jetstream.MsgIDHeader), err)
		}
	}
}

func TestDecider_ReplyFromEventsRepliesToARepeatedCommandWithoutFolding(t *testing.T) {
	log := kittest.New(t)
	folded := 0
	entityType := counterType
	entityType.ReplyFromEvents = true
	entityType.Evolve = func(n int, e eventlog.Event, at time.Time) int { folded++; return counterType.Evolve(n, e, at) }
	d := decider.New(entityType)
	d.Bind(log.Log, decider.Config{})
	by := func(_ int, e eventlog.Event) any { return e.(kittest.Added).By }
	for i := range 3 {
		if _, err := d.Decide(t.Context(), command(fmt.Sprintf("w%d", i), "c"), add(i+1), by); err != nil {
			t.Fatal(err)
		}
	}
	r, err := d.Decide(t.Context(), command("w0", "c"), add(1), by)
	if err != nil || !r.Replayed || r.Reply != 1 || folded != 3 {
		t.Errorf("%+v, %v, %d events folded", r, err, folded)
	}
}

// An id that a caller chose must not reach the filter that an append is conditional on.
func TestDecider_RejectsAnEntityIDThatNoSubjectCanHold(t *testing.T) {
	log := kittest.New(t)
	d := newDecider(log)
	for _, id := range []string{"*", "a.b", "a.>", "a b"} {
		if _, err := d.Decide(t.Context(), command("w-"+id, id), add(1), nil); !errs.Is(err, errs.Invalid) {
			t.Errorf("%q: %v", id, err)
		}
	}
	if end, err := log.End(t.Context(), kittest.Stream); end != 0 || err != nil {
		t.Errorf("the log ends at %d, %v", end, err)
	}
}
