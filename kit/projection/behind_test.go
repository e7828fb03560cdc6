package projection_test

import (
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"lonja/kit/eventlog"
	"lonja/kit/kittest"
	"lonja/kit/projection"
)

// far is a number of events that is more than two thirds of a log of few events and these.
const far = 50_100

// behind runs a view until it has read ten events, stops it, and records many more.
func (h *harness) behind(def projection.Definition) {
	h.t.Helper()
	v, stop := h.run(def)
	for range 9 {
		h.log.Add("c", 1)
	}
	h.await(v, h.log.Add("c", 1))
	if err := stop(); err != nil {
		h.t.Fatal(err)
	}
	fill(h.t, h.log, far)
}

// awaitEnd waits until a view has all that behind has recorded.
func (h *harness) awaitEnd(v *projection.View) {
	h.t.Helper()
	deadline := time.After(time.Minute)
	for {
		changed := v.Changed()
		if v.Covers(projection.Token{kittest.Stream: 10 + far}) {
			break
		}
		select {
		case <-changed:
		case <-deadline:
			h.t.Fatalf("the rows are at %v", v.Position())
		}
	}
	h.wantTotal(v, "c", 10)
	h.wantTotal(v, "c1", far/100)
}

func TestView_FarBehindIsBuiltAnewAlsoAfterACrash(t *testing.T) {
	h := newHarness(t)
	var read atomic.Int64
	reached, gate := make(chan struct{}), make(chan struct{})
	gated := totals
	gated.Project = func(tx *projection.Tx, r eventlog.Record) error {
		if read.Add(1) == 5000 {
			close(reached)
			<-gate
		}
		return totals.Project(tx, r)
	}
	h.behind(gated)
	read.Store(0)
	v, stop := h.run(gated)
	<-reached
	h.eventually(func() error {
		if n, building := v.Building(); !building || n == 0 || !v.IsFarBehind() || !v.Queryable() {
			return fmt.Errorf("%d events in the build %v, far behind %v, queryable %v", n, building, v.IsFarBehind(), v.Queryable())
		}
		if lag, err := v.Lag(t.Context()); err != nil || lag[kittest.Stream] == 0 {
			return fmt.Errorf("lag %v, %w", lag, err)
		}
		return nil
	})
	h.wantTotal(v, "c", 10)
	if at := v.Position()[kittest.Stream]; at != 10 {
		t.Errorf("the old rows are at %d", at)
	}
	stopped := make(chan error, 1)
	go func() { stopped <- stop() }()
	close(gate)
	if err := <-stopped; err != nil {
		t.Fatal(err)
	}
	h.wantOneFile()

	v, stop = h.run(totals)
	h.awaitEnd(v)
	if built := v.LastBuild(); built.Events != 10+far {
		t.Errorf("built %+v", built)
	}
	h.eventually(func() error {
		if _, building := v.Building(); building || v.IsFarBehind() {
			return fmt.Errorf("building %v, far behind %v", building, v.IsFarBehind())
		}
		return nil
	})
	h.await(v, h.log.Add("c", 1))
	h.wantTotal(v, "c", 11)
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	h.wantOneFile()
	if names := h.consumers(); len(names) != 1 || names[0] != durable {
		t.Errorf("consumers %v", names)
	}
}

// A build that fails, for lack of room perhaps, must not keep the rows from following. Several
// thousand events are then a transaction.
func TestView_FarBehindFollowsInLargeTransactionsIfItCannotBeBuilt(t *testing.T) {
	h := newHarness(t)
	refuses, size, largest := false, 0, 0
	var last *projection.Tx
	flaky := totals
	flaky.Project = func(tx *projection.Tx, r eventlog.Record) error {
		if refuses && r.Sequence == 10 {
			return errors.New("not again")
		}
		if size++; tx != last {
			last, size = tx, 1
		}
		largest = max(largest, size)
		return totals.Project(tx, r)
	}
	h.behind(flaky)
	refuses, largest = true, 0
	v, stop := h.run(flaky)
	h.awaitEnd(v)
	if built := v.LastBuild(); built.Events != 0 || v.Failed() != nil || v.IsFarBehind() {
		t.Errorf("built %+v, failed %v, far behind %v", built, v.Failed(), v.IsFarBehind())
	}
	h.await(v, h.log.Add("c", 1))
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	if largest <= 2000 || largest > 5000 {
		t.Errorf("the largest transaction had %d events", largest)
	}
	h.wantOneFile()
}

// A view may read few events of a stream; then it is built soon.
func TestView_FarBehindOnAStreamOfWhichItReadsLittle(t *testing.T) {
	h := newHarness(t)
	few := totals
	few.Reads = []projection.Source{{Stream: kittest.Stream, Subjects: []string{"events.counter.c1.>", "events.counter.c.>"}}}
	h.behind(few)
	v, stop := h.run(few)
	h.await(v, 10+far)
	h.wantTotal(v, "c", 10)
	h.wantTotal(v, "c1", far/100)
	if built := v.LastBuild(); built.Events != 10+far/100 {
		t.Errorf("built %+v", built)
	}
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	if names := h.consumers(); len(names) != 1 || names[0] != durable {
		t.Errorf("consumers %v", names)
	}
}
