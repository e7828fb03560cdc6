package service_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/nats-io/nats.go/jetstream"

	"lonja/kit/bus"
	"lonja/kit/eventlog"
	"lonja/kit/kittest"
)

// bound lets a stream take so many messages and refuse all others.
func (w *world) bound(stream string, most int64) {
	w.t.Helper()
	s, err := w.log.JS.Stream(w.t.Context(), stream)
	if err != nil {
		w.t.Fatal(err)
	}
	c := s.CachedInfo().Config
	c.Discard, c.MaxMsgs = jetstream.DiscardNew, most
	if _, err := w.log.JS.UpdateStream(w.t.Context(), c); err != nil {
		w.t.Fatal(err)
	}
}

// refused is how many messages a full stream did not take, as the metric says.
func (w *world) refused(stream string) (n float64) {
	w.t.Helper()
	families, err := w.registry.Gather()
	if err != nil {
		w.t.Fatal(err)
	}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			for _, l := range m.GetLabel() {
				if f.GetName() == "counters_stream_full_total" && l.GetName() == "stream" && l.GetValue() == stream {
					n += m.GetCounter().GetValue()
				}
			}
		}
	}
	return n
}

// TestFullDeadLettersHoldNothingUp fills the dead letters: views and reactions go on,
// and what has no letter is counted, and can be tried again.
func TestFullDeadLettersHoldNothingUp(t *testing.T) {
	w := newWorld(t)
	w.bound(bus.DeadLetterStream, 1)
	w.publish("deadletters.nobody.FULL.1", nil, "")
	w.start()
	w.log.Poison("events.counter.c.added", "garbage")
	w.broken.Store(true)
	seq := w.log.Add("c", 5)
	w.eventually(func() error {
		if n := w.refused(bus.DeadLetterStream); n < 3 { // view and reaction on the garbage, reaction on the event
			return fmt.Errorf("%v letters were refused", n)
		}
		return nil
	})
	w.broken.Store(false)
	w.log.Add("d", 1)
	w.awaitTotal("d", 1)
	w.awaitTotal("echo-d", 1)
	w.awaitTotal("echo-c", 0)
	w.publish(fmt.Sprintf("retries.counters.counters-echo.%s.%d", kittest.Stream, seq), nil, "")
	w.awaitTotal("echo-c", 5)
}

// TestFullOutcomesHoldNoCommandUp fills the stream of deferred commands and outcomes.
func TestFullOutcomesHoldNoCommandUp(t *testing.T) {
	w := newWorld(t)
	for range 2 {
		if err := w.Defer(t.Context(), add{"c", 1}, eventlog.Envelope{ID: eventlog.NewID()}); err != nil {
			t.Fatal(err)
		}
	}
	w.bound(bus.DeferredStream, 3)
	if err := w.Defer(t.Context(), add{"c", 1}, eventlog.Envelope{ID: eventlog.NewID()}); err == nil || !strings.Contains(err.Error(), "too many commands wait") {
		t.Errorf("a third one is left: %v", err)
	}
	w.start()
	w.awaitTotal("c", 2)
	w.eventually(func() error {
		if n := w.refused(bus.DeferredStream); n != 1 {
			return fmt.Errorf("%v outcomes were refused", n)
		}
		cons, err := w.log.JS.Consumer(t.Context(), bus.DeferredStream, "counters-deferred")
		if err == nil && cons.CachedInfo().NumAckPending > 0 {
			err = fmt.Errorf("%d commands are still under way", cons.CachedInfo().NumAckPending)
		}
		return err
	})
}

// TestWhatIsTooLargeForALetterHoldsNothingUp records a message that leaves no room
// for the headers of a letter.
func TestWhatIsTooLargeForALetterHoldsNothingUp(t *testing.T) {
	w := newWorld(t)
	w.start()
	big := strings.Repeat("x", int(w.log.Conn.MaxPayload()))
	seq := w.log.Poison("events.counter.c.added", big)
	w.log.Add("d", 1)
	w.awaitTotal("d", 1)
	w.awaitTotal("echo-d", 1)
	if l := w.awaitLetters(1)[0]; l.Sequence != seq || l.Data != "" || !strings.HasPrefix(l.Reason, "too large") {
		t.Errorf("letter %+v", l)
	}
}
