package projection_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"lonja/kit/eventlog"
	"lonja/kit/kittest"
	"lonja/kit/projection"
)

// remembering is totals with a memory of commands. It fails at an event that adds 13.
var remembering = func() projection.Definition {
	def := totals
	def.Name, def.Commands = "remembering", true
	def.Project = func(tx *projection.Tx, r eventlog.Record) error {
		if r.Event.(kittest.Added).By == 13 {
			return fmt.Errorf("a bug of the definition")
		}
		return totals.Project(tx, r)
	}
	return def
}()

// record appends an event of a command; hash is empty for that of a reaction.
func (h *harness) record(counter, command, hash string, by int) uint64 {
	h.t.Helper()
	filter := "events.counter." + counter + ".>"
	home, filter, err := h.log.Home(h.t.Context(), kittest.Stream, filter)
	if err != nil {
		h.t.Fatal(err)
	}
	last, err := h.log.Last(h.t.Context(), home, filter)
	if err != nil {
		h.t.Fatal(err)
	}
	env := eventlog.Envelope{ID: eventlog.NewID(), Causation: command, RequestHash: hash, Time: time.Now()}
	r, err := h.log.Append(h.t.Context(), home, filter, last, env, kittest.Added{Counter: counter, By: by})
	if err != nil {
		h.t.Fatal(err)
	}
	return r.Sequence
}

func TestView_RemembersWhichEventACommandCaused(t *testing.T) {
	h := newHarness(t)
	first := h.record("a", "w1", "hash", 1)
	again := h.record("b", "w1", "hash", 1) // by somebody who used the id again
	h.record("a", "reaction", "", 1)
	v, stop := h.run(remembering)
	h.await(v, again+1)
	for _, want := range []struct {
		entity, command string
		event           uint64
	}{{"a", "w1", first}, {"b", "w1", again}, {"c", "w1", 0}, {"a", "w2", 0}, {"a", "reaction", 0}} {
		event, through, err := v.CommandEvent(t.Context(), kittest.Stream, want.entity, want.command, again+1)
		if event != want.event || through != again+1 || err != nil {
			t.Errorf("%s on %s: at %d through %d, %v, want %d", want.command, want.entity, event, through, err, want.event)
		}
	}
	for command, want := range map[string]string{"w1": "a", "w2": "", "reaction": ""} {
		if entity, err := v.CommandEntity(t.Context(), command); entity != want || err != nil {
			t.Errorf("%s was about %q, %v, want %q", command, entity, err, want)
		}
	}
	must(t, stop())
}

// Rows of an earlier version answer until they are rebuilt.
func TestView_FindsACommandsEntityInRowsOfAnEarlierVersion(t *testing.T) {
	h := newHarness(t)
	old := totals
	old.Name, old.Schema = remembering.Name, old.Schema+`CREATE TABLE wishes (id TEXT PRIMARY KEY, entity TEXT NOT NULL) WITHOUT ROWID;`
	old.Project = func(tx *projection.Tx, r eventlog.Record) error {
		return tx.Exec(`INSERT INTO wishes VALUES (?, ?)`, r.Causation, r.Event.EntityID())
	}
	seq := h.record("a", "w1", "hash", 1)
	v, stop := h.run(old)
	h.await(v, seq)
	must(t, stop())
	v, err := h.open(remembering) // and not run, so not rebuilt
	if err != nil {
		t.Fatal(err)
	}
	if entity, err := v.CommandEntity(t.Context(), "w1"); entity != "a" || err != nil {
		t.Errorf("it was about %q, %v", entity, err)
	}
	if event, through, err := v.CommandEvent(t.Context(), kittest.Stream, "a", "w1", 0); event != 0 || through != 0 || err != nil {
		t.Errorf("rows of an earlier version say what is not certain: at %d through %d, %v", event, through, err)
	}
	must(t, v.Close())
}

// Whoever asks how old the rows are gets an answer from a view that has failed, too, and from one
// that has nothing.
func TestView_SaysHowFarItsRowsGo(t *testing.T) {
	h := newHarness(t)
	seq := h.record("a", "w1", "hash", 1)
	v, stop := h.run(remembering)
	query := func(least uint64, wait time.Duration) (through uint64, found bool, total int) {
		t.Helper()
		ctx, cancel := context.WithTimeout(t.Context(), wait)
		defer cancel()
		through, found, err := v.GetThrough(ctx, kittest.Stream, least, `SELECT total FROM totals WHERE counter = 'a'`, nil, &total)
		if err != nil {
			t.Error(err)
		}
		return through, found, total
	}
	if through, found, total := query(seq, 10*time.Second); through != seq || !found || total != 1 {
		t.Errorf("through %d, %t, %d", through, found, total)
	}
	h.record("a", "w2", "hash", 13)
	h.eventually(func() error {
		if v.Failed() == nil {
			return fmt.Errorf("it has not failed")
		}
		return nil
	})
	if through, found, total := query(seq+1, 10*time.Second); through != seq || !found || total != 1 {
		t.Errorf("when it has failed: through %d, %t, %d", through, found, total)
	}
	if err := stop(); err == nil {
		t.Error("it stopped without an error")
	}
	if _, _, err := v.GetThrough(t.Context(), kittest.Stream, 0, `SELECT 1`, nil, new(int)); err != nil {
		t.Errorf("when it is closed: %v", err)
	}
	fresh := projection.New(remembering)
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if through, found, err := fresh.GetThrough(ended, kittest.Stream, 1, `SELECT 1`, nil, new(int)); through != 0 || found || err != nil {
		t.Errorf("without rows: through %d, %t, %v", through, found, err)
	}
}
