package decider_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"lonja/kit/decider"
	"lonja/kit/errs"
	"lonja/kit/eventlog"
	"lonja/kit/kittest"
)

// table is a CommandTable that has followed the log up to a sequence.
type table struct {
	through uint64
	events  map[string]uint64 // by "entity command"
	fails   error
	asked   int
}

func (t *table) CommandEvent(_ context.Context, _, entity, commandID string, least uint64) (event, through uint64, err error) {
	t.asked++
	if seq := t.events[entity+" "+commandID]; seq <= t.through {
		event = seq
	}
	return event, t.through, t.fails
}

// windowed returns a decider that remembers two commands of each counter.
func windowed(log *kittest.Log, t *table) *decider.Decider[int] {
	d := decider.New(counterType)
	if t != nil {
		d.RememberIn(t)
	}
	d.Bind(log.Log, decider.Config{CommandWindow: 2})
	return d
}

// hashed returns a command as a client sends it: with a hash of its body.
func hashed(id, counter string) decider.Command {
	c := command(id, counter)
	c.RequestHash = eventlog.HashBody([]byte(id))
	return c
}

// P2 holds for commands that have left the window: whatever the table knows, whether it fails,
// and in any process.
func TestDecider_RepeatsTheReceiptOfACommandThatLeftTheWindow(t *testing.T) {
	for name, table := range map[string]*table{
		"without a table":           nil,
		"of a table":                {through: 12},
		"of a table that is behind": {through: 3},
		"of a table that has none":  {},
		"of a table that fails":     {through: 12, fails: errors.New("broken")},
	} {
		t.Run(name, func(t *testing.T) {
			log := kittest.New(t)
			here := windowed(log, table)
			first := map[string]decider.Receipt{}
			for i := range 6 {
				log.Add("other", 1)
				id := fmt.Sprintf("w%d", i)
				r, err := here.Decide(t.Context(), hashed(id, "c"), add(1), total)
				if err != nil || r.Replayed {
					t.Fatalf("%+v, %v", r, err)
				}
				first[id] = r
				if table != nil && table.fails == nil {
					if table.events == nil {
						table.events = map[string]uint64{}
					}
					table.events["c "+id] = r.Sequence
				}
			}
			for who, d := range map[string]*decider.Decider[int]{"the same process": here, "another process": windowed(log, table)} {
				for id, want := range first {
					got, err := d.Decide(t.Context(), hashed(id, "c"), add(1), total)
					if err != nil || !got.Replayed || got.Sequence != want.Sequence || got.Reply != want.Reply {
						t.Errorf("%s, %s: %+v, %v, want %+v", who, id, got, err, want)
					}
					other := hashed(id, "c")
					other.RequestHash = "another"
					if _, err := d.Decide(t.Context(), other, add(1), nil); !errs.Is(err, errs.Invalid) {
						t.Errorf("%s, %s with another body: %v", who, id, err)
					}
				}
			}
			if last, err := log.Last(t.Context(), kittest.Stream, "events.counter.c.>"); err != nil || last != 12 {
				t.Errorf("the log ends at %d, %v", last, err)
			}
		})
	}
}

// Only what can have left the window is looked up.
func TestDecider_AsksTheTableOnlyAboutEntitiesWithManyEvents(t *testing.T) {
	log, table := kittest.New(t), &table{}
	d := windowed(log, table)
	decide := func(c decider.Command) {
		t.Helper()
		if r, err := d.Decide(t.Context(), c, add(1), nil); err != nil || r.Replayed {
			t.Fatalf("%+v, %v", r, err)
		}
		table.through++
	}
	decide(hashed("w1", "c"))
	decide(hashed("w2", "c"))
	decide(hashed("w3", "c")) // what is in the log is in the window until it is recorded
	if table.asked != 0 {
		t.Errorf("asked %d times about a whole window", table.asked)
	}
	decide(hashed("w4", "c"))
	decide(hashed("x1", "new"))
	if table.asked != 1 {
		t.Errorf("asked %d times", table.asked)
	}
	promised := command("reaction", "c")
	promised.Idempotent = true
	decide(promised)
	if table.asked != 1 {
		t.Error("asked about a command whose decision is idempotent")
	}
	if r, err := d.Decide(t.Context(), command("w9", "c"), add(0), nil); err != nil || r.Record.Event != nil || table.asked != 1 {
		t.Errorf("a reaction's id is looked up in the log, since no table has it: %+v, %v, asked %d times", r, err, table.asked)
	}
}

// A decision that needs to know more is not held against the log: nothing is loaded, and the
// entity is free at once.
func TestDecider_ReturnsAtOnceWhenADecisionNeedsALookup(t *testing.T) {
	log := kittest.New(t)
	d := newDecider(log)
	_, err := d.Decide(t.Context(), command("w1", "c"), func(int, decider.Meta) (eventlog.Event, error) {
		return nil, &decider.NeedsLookup{Through: 7}
	}, nil)
	var more *decider.NeedsLookup
	if !errors.As(err, &more) || more.Through != 7 || !strings.Contains(err.Error(), "up to 7") {
		t.Errorf("got %v", err)
	}
	if r, err := d.Decide(t.Context(), command("w1", "c"), add(1), total); err != nil || r.Reply != 1 {
		t.Errorf("%+v, %v", r, err)
	}
}

// A past reads the log once, goes on where it stopped, and is forgotten when rows tell as much.
func TestPast_FindsTheLastEventOfAKey(t *testing.T) {
	log := kittest.New(t)
	d := newDecider(log)
	read := 0
	past := d.Past("c", func(r eventlog.Record) string {
		read++
		return fmt.Sprint(r.Event.(kittest.Added).By)
	})
	for i := range 6 { // 1, 3, 5, …, 11
		log.Add("c", i%3)
		log.Add("other", 0)
	}
	find := func(key string, after, least, wantEvent, wantThrough uint64, wantRead int) {
		t.Helper()
		event, through, err := past.Find(t.Context(), key, after, least)
		if err != nil || event != wantEvent || through != wantThrough || read != wantRead {
			t.Errorf("%s after %d: at %d through %d, %d read, %v; want %d through %d, %d read", key, after, event, through, read, err, wantEvent, wantThrough, wantRead)
		}
	}
	find("0", 4, 4, 0, 4, 0) // nothing to be read
	find("0", 4, 5, 7, 11, 4)
	find("1", 4, 11, 9, 11, 4)
	find("1", 10, 11, 0, 11, 4) // rows tell more than what was read
	find("9", 4, 7, 0, 11, 4)
	log.Add("c", 9)
	find("9", 6, 11, 0, 11, 4)
	find("9", 6, 13, 13, 13, 5)
	find("0", 0, 13, 7, 13, 12) // rows were lost
	if past.Forget(12); !past.Active() {
		t.Error("forgotten, although the rows end before")
	}
	if past.Forget(13); past.Active() {
		t.Error("kept, although the rows tell as much")
	}
	find("2", 0, 1, 11, 13, 19)

	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if _, _, err := d.Past("c", func(eventlog.Record) string { return "" }).Find(ended, "0", 0, 13); err == nil {
		t.Error("found in a log that was not read")
	}
}
