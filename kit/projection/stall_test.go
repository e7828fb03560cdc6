package projection_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"lonja/kit/kittest"
	"lonja/kit/projection"
)

// within tries until there is no error, at most for the given time.
func (h *harness) within(timeout time.Duration, try func() error) {
	h.t.Helper()
	for deadline := time.Now().Add(timeout); ; {
		err := try()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			h.t.Fatal(err)
		}
		<-time.After(5 * time.Millisecond)
	}
}

// A server that delivers nothing although there are events is detected and reported, and the
// view recovers. Here the cause is a paused consumer.
func TestView_RecoversFromAPausedConsumer(t *testing.T) {
	h := newHarness(t)
	v, stop := h.run(totals)
	h.await(v, h.log.Add("c", 1))
	if _, err := h.log.JS.PauseConsumer(t.Context(), kittest.Stream, durable, time.Now().Add(time.Hour)); err != nil {
		t.Fatal(err)
	}
	h.within(time.Minute, func() error { // a pull request that is in progress may still deliver one
		h.log.Add("c", 1)
		if stalled := v.Stalled(); !slices.Equal(stalled, []string{kittest.Stream}) {
			return fmt.Errorf("stalled: %v", stalled)
		}
		return nil
	})
	last := h.log.Add("c", 1)
	h.within(time.Minute, func() error {
		if at := v.Position()[kittest.Stream]; at < last {
			return fmt.Errorf("the rows are at %d of %d", at, last)
		}
		if stalled := v.Stalled(); stalled != nil {
			return fmt.Errorf("stalled: %v", stalled)
		}
		return nil
	})
	h.wantTotal(v, "c", int(last))
	if err := stop(); err != nil {
		t.Fatal(err)
	}
}

// Events that the view does not read do not make it look stalled, and its consumer stays.
func TestView_IsNotStalledByEventsThatItDoesNotRead(t *testing.T) {
	h := newHarness(t)
	some := totals
	some.Reads = []projection.Source{{Stream: kittest.Stream, Subjects: []string{"events.counter.c.*"}}}
	v, stop := h.run(some)
	h.await(v, h.log.Add("c", 1))
	created := func() time.Time {
		cons, err := h.log.JS.Consumer(t.Context(), kittest.Stream, durable)
		if err != nil {
			t.Fatal(err)
		}
		return cons.CachedInfo().Created
	}
	began := created()
	for end := time.Now().Add(7 * time.Second); time.Now().Before(end); { // three checks
		h.log.Add("other", 1)
		if stalled := v.Stalled(); stalled != nil {
			t.Fatalf("stalled: %v", stalled)
		}
		<-time.After(10 * time.Millisecond)
	}
	if !created().Equal(began) {
		t.Error("the consumer was recreated")
	}
	if err := stop(); err != nil {
		t.Fatal(err)
	}
}

// When requests are lost on the way, neither a new request nor a new consumer helps, but a
// new connection does.
func TestView_ReconnectsWhenItsRequestsAreLost(t *testing.T) {
	h := newHarness(t)
	recorder := *h.log
	way := h.log.ConnectLossy(t)
	h.log.JS = way.JS
	v, stop := h.run(totals)
	h.await(v, recorder.Add("c", 1))
	way.DropPulls()
	h.within(time.Minute, func() error { // requests that are in progress still deliver
		recorder.Add("c", 1)
		if v.Stalled() == nil {
			return errors.New("not stalled")
		}
		return nil
	})
	last := recorder.Add("c", 1)
	h.within(time.Minute, func() error {
		if at := v.Position()[kittest.Stream]; at < last || v.Stalled() != nil {
			return fmt.Errorf("the rows are at %d of %d, stalled: %v", at, last, v.Stalled())
		}
		return nil
	})
	h.wantTotal(v, "c", int(last))
	if err := stop(); err != nil {
		t.Fatal(err)
	}
}

func TestView_RecoversFromAStallDuringItsFirstBuild(t *testing.T) {
	h := newHarness(t)
	last := h.log.Add("c", 1)
	way := h.log.ConnectLossy(t)
	recorder := *h.log
	h.log.JS = way.JS
	v, err := h.open(totals)
	if err != nil {
		t.Fatal(err)
	}
	way.DropPulls()
	ctx, cancel := context.WithCancel(t.Context())
	result := make(chan error, 1)
	go func() { result <- v.Run(ctx) }()
	h.within(time.Minute, func() error { return v.Await(ctx, projection.Token{kittest.Stream: last}) })
	h.wantTotal(v, "c", 1)
	h.await(v, recorder.Add("c", 1))
	cancel()
	if err := errors.Join(<-result, v.Close()); err != nil {
		t.Fatal(err)
	}
}
