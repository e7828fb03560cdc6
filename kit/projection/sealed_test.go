package projection_test

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"testing"
	"time"

	"lonja/kit/eventlog"
	"lonja/kit/kittest"
	"lonja/kit/projection"
)

// notes holds each counter's last note, and counts its events.
var notes = projection.Definition{
	Name:   "notes",
	Schema: `CREATE TABLE notes (counter TEXT PRIMARY KEY, note TEXT NOT NULL, events INTEGER NOT NULL);`,
	Reads:  totals.Reads,
	Project: func(tx *projection.Tx, r eventlog.Record) error {
		text := ""
		if n, ok := r.Event.(kittest.Noted); ok {
			if text = n.Note; n.Withheld {
				text = "(withheld)"
			}
		}
		return tx.Exec(`INSERT INTO notes VALUES (?, ?, 1) ON CONFLICT (counter) DO UPDATE SET note = excluded.note, events = events + 1`, r.Event.EntityID(), text)
	},
}

// sealed gives a harness a log with sealed events.
func (h *harness) sealed(keys *kittest.Keys) {
	h.log.Log = eventlog.New(h.log.JS, kittest.SealedCodec)
	h.log.Log.Keys = keys
}

// note appends a sealed note on a counter.
func (h *harness) note(counter, text string) uint64 {
	h.t.Helper()
	filter := "events.counter." + counter + ".>"
	last, err := h.log.Last(h.t.Context(), kittest.Stream, filter)
	if err != nil {
		h.t.Fatal(err)
	}
	id := eventlog.NewID()
	r, err := h.log.Append(h.t.Context(), kittest.Stream, filter, last, eventlog.Envelope{ID: id, Causation: "c-" + id, Time: time.Now()}, kittest.Noted{Counter: counter, Note: text})
	if err != nil {
		h.t.Fatal(err)
	}
	return r.Sequence
}

// awaitNote waits until the view has a counter's note, after so many events.
func (h *harness) awaitNote(v *projection.View, counter, want string, events int) {
	h.t.Helper()
	h.eventually(func() error {
		var text string
		var n int
		_, err := v.Get(h.t.Context(), `SELECT note, events FROM notes WHERE counter = ?`, []any{counter}, &text, &n)
		if err == nil && (text != want || n != events) {
			err = fmt.Errorf("%s has %q after %d events, want %q after %d", counter, text, n, want, events)
		}
		return err
	})
}

// A view waits for the key of an event: it neither skips the event nor gives it up, whether
// it follows the stream or is being built.
func TestView_WaitsForTheKeyOfAnEvent(t *testing.T) {
	h, keys := newHarness(t), &kittest.Keys{}
	h.sealed(keys)
	h.note("a", "one")
	h.log.Add("b", 1)
	v, stop := h.run(notes) // builds
	h.awaitNote(v, "a", "one", 1)

	h.log.Add("b", 1)
	h.noteWhileAway(keys, errors.New("the keys are away"), "a", "two")
	h.log.Add("b", 1)
	h.awaitNote(v, "b", "", 2) // what is before the sealed event
	h.eventually(func() error {
		if stalled := v.Stalled(); !slices.Equal(stalled, []string{kittest.Stream}) {
			return fmt.Errorf("the view reports %q as stalled", stalled)
		}
		return nil
	})
	h.awaitNote(v, "a", "one", 1)
	if err := v.Failed(); err != nil {
		t.Errorf("the view has failed: %v", err)
	}
	keys.TakeAway(nil)
	h.awaitNote(v, "a", "two", 2)
	h.awaitNote(v, "b", "", 3)
	if stalled := v.Stalled(); len(stalled) > 0 {
		t.Errorf("the view still reports %q as stalled", stalled)
	}
	must(t, stop())
	if len(h.deadLetters) > 0 {
		t.Errorf("dead letters: %v", h.deadLetters)
	}
}

// noteWhileAway appends a sealed note that nobody but the test has the key of.
func (h *harness) noteWhileAway(keys *kittest.Keys, why error, counter, text string) {
	h.t.Helper()
	writer := eventlog.New(h.log.JS, kittest.SealedCodec)
	writer.Keys = keys.Copy()
	keys.TakeAway(why)
	reader := h.log.Log
	h.log.Log = writer
	h.note(counter, text)
	h.log.Log = reader
}

func TestView_IsBuiltOnceTheKeysAreThere(t *testing.T) {
	h, keys := newHarness(t), &kittest.Keys{}
	h.sealed(keys)
	h.log.Add("b", 1)
	h.note("a", "one")
	h.noteWhileAway(keys, errors.New("the keys are away"), "a", "two")
	v, stop := h.run(notes)
	h.eventually(func() error {
		if stalled := v.Stalled(); len(stalled) == 0 {
			return errors.New("the build does not report that it waits")
		}
		return nil
	})
	if v.Queryable() {
		t.Error("the view answers before it is built")
	}
	keys.TakeAway(nil)
	h.awaitNote(v, "a", "two", 2)
	must(t, stop())

	keys.Destroy("a")
	must(t, os.RemoveAll(h.dir))
	v, stop = h.run(notes)
	h.awaitNote(v, "a", "(withheld)", 2)
	must(t, stop())
	if len(h.deadLetters) > 0 {
		t.Errorf("dead letters: %v", h.deadLetters)
	}
}
