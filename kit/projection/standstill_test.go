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

// within tries until there is no error, for as long as is given.
func (h *harness) within(patience time.Duration, try func() error) {
	h.t.Helper()
	for deadline := time.Now().Add(patience); ; {
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

// A server that delivers nothing although there is something is found out, told
// of, and asked anew: here because somebody paused the consumer.
func TestAFeedThatStandsStillIsSetGoingAgain(t *testing.T) {
	h := newHarness(t)
	v, stop := h.run(totals)
	h.await(v, h.log.Add("c", 1))
	if _, err := h.log.JS.PauseConsumer(t.Context(), kittest.Stream, "toy-a-totals-toys", time.Now().Add(time.Hour)); err != nil {
		t.Fatal(err)
	}
	h.within(time.Minute, func() error { // a pull that was under way may still bring one
		h.log.Add("c", 1)
		if still := v.Stalled(); !slices.Equal(still, []string{kittest.Stream}) {
			return fmt.Errorf("standing still: %v", still)
		}
		return nil
	})
	last := h.log.Add("c", 1)
	h.within(time.Minute, func() error {
		if at := v.Position()[kittest.Stream]; at < last {
			return fmt.Errorf("the rows stand at %d of %d", at, last)
		}
		if still := v.Stalled(); still != nil {
			return fmt.Errorf("standing still: %v", still)
		}
		return nil
	})
	h.wantTotal(v, "c", int(last))
	if err := stop(); err != nil {
		t.Fatal(err)
	}
}

// What the view does not read does not make it stand still: it is not hurried.
func TestAFeedWithNothingToReadDoesNotStandStill(t *testing.T) {
	h := newHarness(t)
	some := totals
	some.Reads = []projection.Source{{Stream: kittest.Stream, Subjects: []string{"events.counter.c.*"}}}
	v, stop := h.run(some)
	h.await(v, h.log.Add("c", 1))
	created := func() time.Time {
		cons, err := h.log.JS.Consumer(t.Context(), kittest.Stream, "toy-a-totals-toys")
		if err != nil {
			t.Fatal(err)
		}
		return cons.CachedInfo().Created
	}
	began := created()
	for end := time.Now().Add(7 * time.Second); time.Now().Before(end); { // three looks
		h.log.Add("other", 1)
		if still := v.Stalled(); still != nil {
			t.Fatalf("standing still: %v", still)
		}
		<-time.After(10 * time.Millisecond)
	}
	if !created().Equal(began) {
		t.Error("its consumer was made anew")
	}
	if err := stop(); err != nil {
		t.Fatal(err)
	}
}

// Neither asking again nor another consumer helps when requests get lost on the
// way; another connection does.
func TestAFeedWhoseRequestsGetLostConnectsAnew(t *testing.T) {
	h := newHarness(t)
	recorder := *h.log
	way := h.log.Deafen(t)
	h.log.JS = way.JS
	v, stop := h.run(totals)
	h.await(v, recorder.Add("c", 1))
	way.Lose()
	h.within(time.Minute, func() error { // what was asked for before still comes
		recorder.Add("c", 1)
		if v.Stalled() == nil {
			return errors.New("it does not stand still")
		}
		return nil
	})
	last := recorder.Add("c", 1)
	h.within(time.Minute, func() error {
		if at := v.Position()[kittest.Stream]; at < last || v.Stalled() != nil {
			return fmt.Errorf("the rows stand at %d of %d, still at %v", at, last, v.Stalled())
		}
		return nil
	})
	h.wantTotal(v, "c", int(last))
	if err := stop(); err != nil {
		t.Fatal(err)
	}
}

// A build is no different.
func TestABuildThatStandsStillIsSetGoingAgain(t *testing.T) {
	h := newHarness(t)
	last := h.log.Add("c", 1)
	way := h.log.Deafen(t)
	recorder := *h.log
	h.log.JS = way.JS
	v, err := h.open(totals)
	if err != nil {
		t.Fatal(err)
	}
	way.Lose()
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
