package decider_test

import (
	"context"
	"flag"
	"fmt"
	"path/filepath"
	"testing"

	"pgregory.net/rapid"

	"lonja/kit/decider"
	"lonja/kit/errs"
	"lonja/kit/kittest"
)

// Each step asks a server; -rapid.checks on the command line still wins.
func init() { _ = flag.Set("rapid.checks", "40") }

// TestDecider_DecidesTheSameWithoutMemory compares replicas that remember nearly nothing, are
// restarted at any time and have a table that lags, with a model that remembers everything.
func TestDecider_DecidesTheSameWithoutMemory(t *testing.T) {
	log, dir, run := kittest.New(t), t.TempDir(), 0
	rapid.Check(t, func(t *rapid.T) {
		run++
		m := &model{counter: fmt.Sprintf("c%d", run), recorded: map[string]decider.Receipt{}, table: &table{events: map[string]uint64{}}}
		k := &keeper{log: log, dir: filepath.Join(dir, m.counter), every: rapid.IntRange(1, 4).Draw(t, "every")}
		start := func() {
			m.here, m.snapshots = k.start(1)
			m.here.RememberIn(m.table)
		}
		start()
		t.Repeat(map[string]func(*rapid.T){
			"decide": m.decide,
			"recorded by others": func(*rapid.T) {
				m.last, m.total = log.Add(m.counter, -1), m.total-1
			},
			"table follows": func(t *rapid.T) {
				m.table.through = rapid.Uint64Range(m.table.through, max(m.table.through, m.last)).Draw(t, "through")
			},
			"table is lost": func(*rapid.T) { m.table.through = 0 },
			"stop": func(*rapid.T) {
				m.snapshots.Save(context.Background())
				start()
			},
			"kill": func(*rapid.T) {
				killed, cancel := context.WithCancel(context.Background())
				cancel()
				m.snapshots.Save(killed) // writes none, but lets no other goroutine write later
				start()
			},
		})
	})
}

// model is a counter, and what is known of it apart from its deciders.
type model struct {
	counter   string
	total     int
	last      uint64 // the sequence of its last event
	recorded  map[string]decider.Receipt
	table     *table
	here      *decider.Decider[int]
	snapshots *decider.Snapshots
}

// decide sends a command, new or again.
func (m *model) decide(t *rapid.T) {
	n, by := rapid.IntRange(0, 9).Draw(t, "id"), rapid.IntRange(-2, 5).Draw(t, "by")
	c := command(fmt.Sprintf("%s-%d", m.counter, n), m.counter)
	if isCommand := n%2 == 0; isCommand {
		c = hashed(c.ID, m.counter)
	}
	got, err := m.here.Decide(context.Background(), c, add(by), total)
	first, again := m.recorded[c.ID]
	switch {
	case again:
		if err != nil || !got.Replayed || got.Sequence != first.Sequence || got.Reply != first.Reply || got.Record.ID != first.Record.ID {
			t.Fatalf("%s again: %+v, %v, want %+v", c.ID, got, err, first)
		}
	case by == 0:
		if err != nil || got.Record.Event != nil || got.Reply != m.total {
			t.Fatalf("nothing to do: %+v, %v, want %d", got, err, m.total)
		}
	case m.total+by > limit:
		if !errs.Is(err, errs.Conflict) {
			t.Fatalf("%d + %d: %+v, %v, want a conflict", m.total, by, got, err)
		}
	default:
		m.total += by
		if err != nil || got.Replayed || got.Reply != m.total {
			t.Fatalf("%s: %+v, %v, want %d", c.ID, got, err, m.total)
		}
		m.recorded[c.ID], m.last = got, got.Sequence
		if c.RequestHash != "" {
			m.table.events[m.counter+" "+c.ID] = got.Sequence
		}
	}
}
