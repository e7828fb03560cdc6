package audit

import (
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"lonja/events"
	"lonja/kit/eventlog"
	"lonja/kit/streams"
	"lonja/shop/shoptest"
)

// recordOn records an event on a partition, whatever its entity's id says.
func (s *fixture) recordOn(stream string, e events.Event) {
	s.t.Helper()
	data, err := events.Encode(e)
	if err != nil {
		s.t.Fatal(err)
	}
	header := eventlog.Envelope{ID: eventlog.NewID(), Type: events.Type(e), Time: time.Now(), Causation: eventlog.NewID(), Actor: eventlog.Actor{ID: "usr_ana"}}.Header()
	s.publish(streams.SubjectOn(stream, events.Subject(e)), string(data), header)
}

// grow gives ORDERS n partitions.
func (s *fixture) grow(n int) streams.Layout {
	s.t.Helper()
	grown, err := s.Streams.Grow(s.t.Context(), s.JS, map[string]int{"ORDERS": n})
	if err == nil {
		err = grown.Apply(s.t.Context(), s.JS, 0)
	}
	if err != nil {
		s.t.Fatal(err)
	}
	return grown.Layout
}

// orderWithHomes returns an order that may be on so many partitions, by its id.
func orderWithHomes(l streams.Layout, n int) events.OrderID {
	for i := 0; ; i++ {
		if id := events.OrderID(fmt.Sprintf("ord_%d", i)); len(l.Homes("ORDERS", string(id))) == n {
			return id
		}
	}
}

func placedAs(id events.OrderID) events.Event {
	e := orderPlaced
	e.OrderID = id
	return e
}

func TestRun_ReportsEventsOnTheWrongPartition(t *testing.T) {
	s := newFixture(t)
	s.record(productCreated)
	moves := events.OrderID("ord_moves")
	s.record(placedAs(moves))
	before := filepath.Join(t.TempDir(), "before")
	want(t, s.auditWith(before, ""))

	l := s.grow(2)
	stays := orderWithHomes(l, 1) // it can only be on ORDERS
	for i := 0; len(l.Homes("ORDERS", string(moves))) == 1; i++ {
		moves = events.OrderID(fmt.Sprintf("ord_moves%d", i))
	}
	s.recordOn("ORDERS", placedAs(moves)) // where it is right: it may be from before
	s.recordOn("ORDERS-1", placedAs(orderWithHomes(l, 2)))
	after := filepath.Join(t.TempDir(), "after")
	for _, since := range []string{"", before} {
		want(t, s.auditWith(after, since))
	}

	s.recordOn("ORDERS-1", placedAs(stays))
	s.recordOn("ORDERS-1", events.OrderCancelled{OrderID: moves, Reason: events.CancelledByCustomer})
	for _, since := range []string{"", before, after} {
		r := s.auditWith("", since)
		found := map[string]int{}
		for _, v := range r.Violations {
			found[v.Check+" of "+v.Entity+" on "+v.Stream]++
		}
		wanted := []string{"partitions of order " + string(stays) + " on ORDERS-1", "partitions of order " + string(moves) + " on ORDERS-1"}
		if r.Total() != 2 || found[wanted[0]] != 1 || found[wanted[1]] != 1 {
			t.Errorf("since %q: %v, want %v", since, r.Violations, wanted)
		}
	}
}

func TestTimeline_OfAnOrderOnAPartition(t *testing.T) {
	s := newFixture(t)
	l := s.grow(2)
	id := orderWithHomes(l, 1)
	for i := 0; l.Homes("ORDERS", string(id))[0] != "ORDERS-1"; i++ {
		id = events.OrderID(fmt.Sprintf("ord_p%d", i))
	}
	s.recordOn("ORDERS-1", placedAs(id))
	for _, of := range []string{string(id), "71053"} {
		timeline, err := Timeline(t.Context(), TimelineConfig{JetStream: s.JS, Codec: shoptest.Codec, Streams: s.Streams}, of)
		if err != nil || len(timeline) != 1 || timeline[0].Position() != "ORDERS-1:1" {
			t.Errorf("of %s: %+v, %v", of, timeline, err)
		}
	}
}
