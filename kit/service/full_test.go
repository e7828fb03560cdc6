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

// bound limits a stream to so many messages; it rejects all others.
func (f *fixture) bound(stream string, most int64) {
	f.t.Helper()
	s, err := f.log.JS.Stream(f.t.Context(), stream)
	if err != nil {
		f.t.Fatal(err)
	}
	c := s.CachedInfo().Config
	c.Discard, c.MaxMsgs = jetstream.DiscardNew, most
	if _, err := f.log.JS.UpdateStream(f.t.Context(), c); err != nil {
		f.t.Fatal(err)
	}
}

// rejected is how many messages a full stream did not take, according to the metric.
func (f *fixture) rejected(stream string) (n float64) {
	f.t.Helper()
	families, err := f.registry.Gather()
	if err != nil {
		f.t.Fatal(err)
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

// TestDeadLetters_FullStreamStopsNothing fills the stream. Views and reactions go on. A
// message without a dead letter is counted, and can be retried.
func TestDeadLetters_FullStreamStopsNothing(t *testing.T) {
	f := newFixture(t)
	f.bound(bus.DeadLetterStream, 1)
	f.publish("deadletters.nobody.FULL.1", nil, "")
	f.start()
	f.log.Poison("events.counter.c.added", "garbage")
	f.broken.Store(true)
	seq := f.log.Add("c", 5)
	f.eventually(func() error {
		if n := f.rejected(bus.DeadLetterStream); n < 3 { // view and reaction on the garbage, reaction on the event
			return fmt.Errorf("%v dead letters were rejected", n)
		}
		return nil
	})
	f.broken.Store(false)
	f.log.Add("d", 1)
	f.awaitTotal("d", 1)
	f.awaitTotal("echo-d", 1)
	f.awaitTotal("echo-c", 0)
	f.publish(fmt.Sprintf("retries.counters.counters-echo.%s.%d", kittest.Stream, seq), nil, "")
	f.awaitTotal("echo-c", 5)
}

// TestDeferred_FullStreamOfOutcomesStopsNoCommand fills the stream of deferred commands and outcomes.
func TestDeferred_FullStreamOfOutcomesStopsNoCommand(t *testing.T) {
	f := newFixture(t)
	for range 2 {
		if err := f.Defer(t.Context(), add{"c", 1}, eventlog.Envelope{ID: eventlog.NewID()}); err != nil {
			t.Fatal(err)
		}
	}
	f.bound(bus.DeferredStream, 3)
	if err := f.Defer(t.Context(), add{"c", 1}, eventlog.Envelope{ID: eventlog.NewID()}); err == nil || !strings.Contains(err.Error(), "too many commands wait") {
		t.Errorf("a third one is deferred: %v", err)
	}
	f.start()
	f.awaitTotal("c", 2)
	f.eventually(func() error {
		if n := f.rejected(bus.DeferredStream); n != 1 {
			return fmt.Errorf("%v outcomes were rejected", n)
		}
		cons, err := f.log.JS.Consumer(t.Context(), bus.DeferredStream, "counters-deferred")
		if err == nil && cons.CachedInfo().NumAckPending > 0 {
			err = fmt.Errorf("%d commands are still under way", cons.CachedInfo().NumAckPending)
		}
		return err
	})
}

// TestDeadLetters_MessageTooLargeStopsNothing records a message that leaves no room
// for the headers of a dead letter.
func TestDeadLetters_MessageTooLargeStopsNothing(t *testing.T) {
	f := newFixture(t)
	f.start()
	big := strings.Repeat("x", int(f.log.Conn.MaxPayload()))
	seq := f.log.Poison("events.counter.c.added", big)
	f.log.Add("d", 1)
	f.awaitTotal("d", 1)
	f.awaitTotal("echo-d", 1)
	if l := f.awaitDeadLetters(1)[0]; l.Sequence != seq || l.Data != "" || !strings.HasPrefix(l.Reason, "too large") {
		t.Errorf("dead letter %+v", l)
	}
}
