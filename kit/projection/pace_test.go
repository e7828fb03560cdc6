package projection

import (
	"fmt"
	"testing"
	"time"

	"lonja/kit/eventlog"
)

func recordsOf(callers, each int) []eventlog.Record {
	var records []eventlog.Record
	for range each {
		for n := range callers {
			records = append(records, eventlog.Record{Envelope: eventlog.Envelope{Correlation: fmt.Sprint("c", n)}})
		}
	}
	return records
}

func TestPace_PausesForSeveralCallersOnly(t *testing.T) {
	const took = time.Millisecond
	began := time.Now()
	for _, tt := range []struct {
		callers, events int
		want, awaited   time.Duration
	}{
		{callers: 1, events: 1},
		{callers: 1, events: 5},
		{callers: 2, events: 3, want: 2 * took, awaited: took},
		{callers: 5, events: 1, want: 8 * took, awaited: took},
		{callers: 40, events: 2, want: maxPause, awaited: took},
	} {
		var p pace
		p.committed(began, began.Add(took), recordsOf(tt.callers, tt.events))
		if got := p.next(false).Sub(p.ended); got != tt.want {
			t.Errorf("%d events of each of %d callers: a pause of %v, want %v", tt.events, tt.callers, got, tt.want)
		}
		if got := p.next(true).Sub(p.ended); got != tt.awaited {
			t.Errorf("%d events of each of %d callers, awaited: a pause of %v, want %v", tt.events, tt.callers, got, tt.awaited)
		}
	}
}

func TestPace_GathersWhatIsReportedToNobody(t *testing.T) {
	const took = time.Millisecond
	began := time.Now()
	p := pace{unreported: true}
	p.committed(began, began.Add(took), recordsOf(1, 1))
	if got := p.next(false).Sub(p.ended); got != maxPause {
		t.Errorf("a pause of %v, want %v", got, maxPause)
	}
	if got := p.next(true).Sub(p.ended); got != took {
		t.Errorf("awaited: a pause of %v, want %v", got, took)
	}
}

func TestPace_CommitsAtOnceWhenIdle(t *testing.T) {
	var p pace
	if p.next(false).After(time.Now()) {
		t.Error("a new view pauses before its first transaction")
	}
	ended := time.Now().Add(-time.Second)
	p.committed(ended.Add(-time.Minute), ended, recordsOf(64, 10))
	if p.next(false).After(time.Now()) {
		t.Error("a view that had nothing to commit for a second pauses before the next transaction, because the last one took long")
	}
}

// fillBatch is given more time than any test takes, so only the events can end it.
func TestFillBatch_GathersDuringThePause(t *testing.T) {
	c := newConsumer(&database{awaited: func() bool { return false }}, Source{})
	c.pace.ended = time.Now().Add(time.Hour)
	arrived := make(chan delivery)
	go func() {
		for n := range batchSize - 1 {
			arrived <- delivery{number: uint64(n + 2)}
		}
	}()
	batch := c.fillBatch(t.Context(), []delivery{{number: 1}}, arrived)
	if len(batch) != batchSize || batch[batchSize-1].number != batchSize {
		t.Errorf("a batch of %d deliveries, want the %d that arrived during the pause", len(batch), batchSize)
	}
}

func TestFillBatch_EndsThePauseForWhoeverWaits(t *testing.T) {
	c := newConsumer(&database{awaited: func() bool { return false }}, Source{Stream: "ORDERS"})
	c.db.consumers = []*consumer{c}
	c.db.hurry(Token{"OTHER": 7})
	if len(c.hurry) != 0 {
		t.Error("a wait for another stream hurries the consumer")
	}
	c.position.Store(7)
	c.db.hurry(Token{"ORDERS": 7})
	if len(c.hurry) != 0 {
		t.Error("a wait for what the rows include hurries the consumer")
	}
	c.db.hurry(Token{"ORDERS": 8})
	c.pace = pace{ended: time.Now().Add(-time.Minute), took: 50 * time.Millisecond, callers: 2}
	c.db.hurry(Token{"ORDERS": 8}) // does not block although the first has not been noticed
	arrived := make(chan delivery)
	if batch := c.fillBatch(t.Context(), []delivery{{}}, arrived); len(batch) != 1 {
		t.Errorf("a batch of %d deliveries, want the one that there is", len(batch))
	}
}
