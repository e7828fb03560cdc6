package decider_test

import (
	"errors"
	"slices"
	"testing"
	"time"

	"lonja/kit/decider"
	"lonja/kit/errs"
	"lonja/kit/eventlog"
	"lonja/kit/kittest"
)

// noteType is a counter's notes, of which the state is the last one.
var noteType = decider.EntityType[string]{Subject: "events.counter", Stream: kittest.Stream,
	Evolve: func(last string, e eventlog.Event, _ time.Time) string {
		if n, ok := e.(kittest.Noted); ok {
			if n.Withheld {
				return "(withheld)"
			}
			return n.Note
		}
		return last
	}}

// note decides to write a note, unless there is a withheld one.
func note(text string) decider.Decide[string] {
	return func(last string, m decider.Meta) (eventlog.Event, error) {
		switch last {
		case "(withheld)":
			return nil, errs.New(errs.NotFound, "its notes are gone")
		case text:
			return nil, nil
		}
		return kittest.Noted{Counter: m.EntityID, Note: text}, nil
	}
}

func lastNote(last string, _ eventlog.Event) any { return last }

func newNotes(log *kittest.Log, keys *kittest.Keys) *decider.Decider[string] {
	l := eventlog.New(log.JS, kittest.SealedCodec)
	l.Keys = keys
	d := decider.New(noteType)
	d.Bind(l, decider.Config{})
	return d
}

// Nothing is decided on a state that lacks what a key that is away has sealed.
func TestDecider_WaitsForTheKeyOfAnEvent(t *testing.T) {
	log, keys := kittest.New(t), &kittest.Keys{}
	here := newNotes(log, keys)
	if _, err := here.Decide(t.Context(), command("w1", "c"), note("one"), lastNote); err != nil {
		t.Fatal(err)
	}
	if _, err := here.Decide(t.Context(), command("w2", "c"), note("two"), lastNote); err != nil {
		t.Fatal(err)
	}
	keys.TakeAway(errors.New("the keys are away"))
	for what, decision := range map[string]struct {
		by *decider.Decider[string]
		id string
		on string
	}{
		"an event, with an empty cache":   {newNotes(log, keys), "w3", "three"},
		"nothing, with an empty cache":    {newNotes(log, keys), "w3", "two"},
		"an event, with the state cached": {here, "w3", "three"},
		"a replay":                        {newNotes(log, keys), "w2", "two"},
		"a replay, with the state cached": {here, "w1", "one"},
	} {
		if r, err := decision.by.Decide(t.Context(), command(decision.id, "c"), note(decision.on), lastNote); !errs.Is(err, errs.Unavailable) {
			t.Errorf("decided %s: %+v, %v", what, r, err)
		}
	}
	if err := newNotes(log, keys).Peek(t.Context(), "c", func(last string) { t.Errorf("shows %q", last) }); !errs.Is(err, errs.Unavailable) {
		t.Errorf("peek: %v", err)
	}
	keys.TakeAway(nil)
	for what, d := range map[string]*decider.Decider[string]{"with the state cached": here, "with an empty cache": newNotes(log, keys)} {
		if r, err := d.Decide(t.Context(), command("w2", "c"), note("two"), lastNote); err != nil || r.Reply != "two" || !r.Replayed {
			t.Errorf("later, a replay %s: %+v, %v", what, r, err)
		}
	}
	if r, err := here.Decide(t.Context(), command("w3", "c"), note("three"), lastNote); err != nil || r.Reply != "three" || r.Sequence != 3 {
		t.Errorf("later: %+v, %v", r, err)
	}
}

// erased records that a counter was erased, as another process does before it destroys the key.
type erased struct {
	Counter string `json:"counter"`
}

func (erased) EventName() string  { return "counter.erased.v1" }
func (e erased) EntityID() string { return e.Counter }
func (erased) Check() error       { return nil }

// A key is destroyed after that was recorded. So a decision that cannot be sealed any more was
// made on an old state.
func TestDecider_DecidesAgainWhenItsKeyWasDestroyed(t *testing.T) {
	log, keys := kittest.New(t), &kittest.Keys{}
	l := eventlog.New(log.JS, eventlog.NewCodec("kittest", kittest.Added{}, kittest.Noted{}, erased{}))
	l.Keys = keys
	gone := noteType
	gone.Evolve = func(last string, e eventlog.Event, at time.Time) string {
		if _, is := e.(erased); is {
			return "(withheld)"
		}
		return noteType.Evolve(last, e, at)
	}
	d := decider.New(gone)
	d.Bind(l, decider.Config{})
	first, err := d.Decide(t.Context(), command("w1", "c"), note("one"), lastNote)
	if err != nil {
		t.Fatal(err)
	}
	keys.Destroy("c")
	if _, err := d.Decide(t.Context(), command("w2", "c"), note("two"), lastNote); !errs.Is(err, errs.Conflict) || !errors.Is(err, eventlog.ErrKeyDestroyed) {
		t.Errorf("with nothing new recorded: %v", err)
	}
	id := eventlog.NewID()
	if _, err := l.Append(t.Context(), kittest.Stream, "events.counter.c.>", first.Sequence, eventlog.Envelope{ID: id, Causation: "x-" + id, Time: time.Now()}, erased{"c"}); err != nil {
		t.Fatal(err)
	}
	if _, err := d.Decide(t.Context(), command("w3", "c"), note("three"), lastNote); !errs.Is(err, errs.NotFound) {
		t.Errorf("with the erasure recorded: %v", err)
	}
}

// An entity's history is read from the log, whole or not at all.
func TestDecider_History(t *testing.T) {
	log, keys := kittest.New(t), &kittest.Keys{}
	d := newNotes(log, keys)
	for _, c := range []struct{ id, on, text string }{{"w1", "c", "one"}, {"w2", "other", "two"}, {"w3", "c", "three"}} {
		if _, err := d.Decide(t.Context(), command(c.id, c.on), note(c.text), nil); err != nil {
			t.Fatal(err)
		}
	}
	history := func(d *decider.Decider[string], id string) (notes []string, err error) {
		err = d.History(t.Context(), id, func(r eventlog.Record) { notes = append(notes, r.Event.(kittest.Noted).Note) })
		return notes, err
	}
	for what, d := range map[string]*decider.Decider[string]{"with the state cached": d, "with an empty cache": newNotes(log, keys)} {
		if notes, err := history(d, "c"); err != nil || !slices.Equal(notes, []string{"one", "three"}) {
			t.Errorf("%s: %q, %v", what, notes, err)
		}
	}
	if notes, err := history(d, "none"); err != nil || notes != nil {
		t.Errorf("of no entity: %q, %v", notes, err)
	}
	keys.TakeAway(errors.New("the keys are away"))
	if notes, err := history(d, "c"); !errs.Is(err, errs.Unavailable) {
		t.Errorf("without the key: %q, %v", notes, err)
	}
}
