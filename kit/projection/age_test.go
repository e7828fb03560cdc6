package projection_test

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"lonja/kit/eventlog"
	"lonja/kit/kittest"
	"lonja/kit/projection"
)

// removeByAge makes the stream remove what is older than a second.
func (h *harness) removeByAge(deny bool) {
	h.t.Helper()
	_, err := h.log.JS.UpdateStream(h.t.Context(), jetstream.StreamConfig{Name: kittest.Stream, Subjects: []string{"events.counter.>"}, AllowDirect: true,
		MaxAge: time.Second, Duplicates: time.Second, DenyDelete: deny, DenyPurge: deny, Discard: jetstream.DiscardNew})
	must(h.t, err)
}

// awaitFirst waits until the stream begins at a sequence.
func (h *harness) awaitFirst(seq uint64) {
	h.t.Helper()
	h.eventually(func() error {
		stream, err := h.log.JS.Stream(h.t.Context(), kittest.Stream)
		if err != nil {
			return err
		}
		if first := stream.CachedInfo().State.FirstSeq; first < seq {
			return fmt.Errorf("the stream begins at %d", first)
		}
		return nil
	})
}

// A checkpoint whose event has reached its age is no loss, and the rows stay. What the view has
// not read by then it never reads, and does not wait for.
func TestView_GoesOnFromACheckpointThatHasReachedItsAge(t *testing.T) {
	h := newHarness(t)
	h.removeByAge(true)
	v, stop := h.run(totals)
	h.await(v, h.log.Add("c", 1))
	must(t, stop())
	for range 3 {
		h.log.Add("c", 10) // while the view is away
	}
	h.awaitFirst(5)

	v, stop = h.run(totals)
	h.await(v, 4)
	h.wantTotal(v, "c", 1)
	h.await(v, h.log.Add("c", 2))
	h.wantTotal(v, "c", 3)
	h.eventually(func() error { // the acknowledgement comes after the rows
		lag, err := v.Lag(t.Context())
		if err == nil && lag[kittest.Stream] != 0 {
			err = fmt.Errorf("the lag is %v", lag)
		}
		return err
	})
	if stalled := v.Stalled(); stalled != nil {
		t.Errorf("it waits for %v", stalled)
	}
	must(t, stop())
}

// Where somebody else may have removed the event, it is lost.
func TestView_AMissingCheckpointIsALossWhereMessagesCanBeDeleted(t *testing.T) {
	h := newHarness(t)
	h.removeByAge(false)
	v, stop := h.run(totals)
	h.await(v, h.log.Add("c", 1))
	must(t, stop())
	h.awaitFirst(2)
	if v, err := h.open(totals); !errors.Is(err, projection.ErrLost) {
		t.Errorf("it opened with %v", errors.Join(err, v.Close()))
	}
}

// The stream may also be another, or end too early, as ever.
func TestView_AStreamThatRemovesByAgeCanBeLost(t *testing.T) {
	h := newHarness(t)
	h.removeByAge(true)
	v, stop := h.run(totals)
	h.await(v, h.log.Add("c", 1))
	must(t, stop())
	must(t, h.log.JS.DeleteStream(t.Context(), kittest.Stream))
	_, err := h.log.JS.CreateStream(t.Context(), jetstream.StreamConfig{Name: kittest.Stream, Subjects: []string{"events.counter.>"}, AllowDirect: true})
	must(t, err)
	h.removeByAge(true)
	h.log.Add("c", 1)
	if v, err := h.open(totals); !errors.Is(err, projection.ErrLost) {
		t.Errorf("it opened with %v", errors.Join(err, v.Close()))
	}
}

// passing are the counters that were increased by a time, in microseconds since 1970: a row is
// outdated once that has passed.
var passing = projection.Definition{
	Name:     "passing",
	Schema:   `CREATE TABLE passing (counter TEXT PRIMARY KEY, until INTEGER NOT NULL);`,
	Reads:    []projection.Source{{Stream: kittest.Stream, Subjects: []string{"events.counter.>"}}},
	Outdated: `DELETE FROM passing WHERE until < ?`,
	Project: func(tx *projection.Tx, r eventlog.Record) error {
		e := r.Event.(kittest.Added)
		return tx.Exec(`INSERT OR REPLACE INTO passing (counter, until) VALUES (?, ?)`, e.Counter, e.By)
	},
}

func TestView_DeletesOutdatedRows(t *testing.T) {
	h := newHarness(t)
	v, stop := h.run(passing)
	h.log.Add("past", int(time.Now().Add(-time.Second).UnixMicro()))
	h.await(v, h.log.Add("future", int(time.Now().Add(time.Hour).UnixMicro())))
	must(t, stop())
	v, stop = h.run(passing) // deletes when it starts
	h.eventually(func() error {
		var counter string
		var n int
		_, err := v.Get(t.Context(), `SELECT min(counter), count(*) FROM passing`, nil, &counter, &n)
		if err == nil && (n != 1 || counter != "future") {
			err = fmt.Errorf("%d rows, the first is %s", n, counter)
		}
		return err
	})
	must(t, stop())
}

// A stream is introduced once every replica reads it: not while one of the version before is
// there, even if it is away, and again once that is upgraded.
func TestView_IsIntroducedOnceEveryReplicaReadsTheStream(t *testing.T) {
	h := newHarness(t)
	after := totals
	after.Reads = append(after.Reads, projection.Source{Stream: "DEADLETTERS", Subjects: []string{"deadletters.>"}})
	after.Introduces = "DEADLETTERS"
	replica := func(name string, def projection.Definition) (*projection.View, func() error) {
		other := *h
		other.dir = t.TempDir()
		return other.runAs(name, def)
	}
	want := func(v *projection.View, introduced bool) {
		t.Helper()
		h.eventually(func() error {
			got, err := v.IsIntroduced(t.Context())
			if err == nil && got != introduced {
				err = fmt.Errorf("introduced: %v", got)
			}
			return err
		})
	}
	last := h.log.Add("c", 1)
	v, stop := replica("a", after)
	h.await(v, last)
	want(v, true)
	before, stopBefore := replica("b", totals)
	h.await(before, last)
	want(v, false)
	must(t, stopBefore())
	want(v, false)
	upgraded, stopUpgraded := replica("b", after)
	h.await(upgraded, last)
	want(v, true)
	must(t, errors.Join(stop(), stopUpgraded()))
}
