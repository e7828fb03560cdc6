package projection_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"lonja/kit/kittest"
)

// The rows of a view go on when its stream gets a partition: they are not built again, and what is on the
// new partition is read from its beginning. A rebuild makes the same rows.
func TestView_ReadsPartitionsThatWereAdded(t *testing.T) {
	h := newHarness(t)
	h.log.Add("a", 1)
	v, stop := h.run(totals)
	h.await(v, h.log.Add("b", 2))
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	h.log = h.log.Grow(2)
	v, stop = h.run(totals)
	soon, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	if err := v.CatchUp(soon); err != nil { // nothing is on the new partition
		t.Fatal(err)
	}
	for i := range 20 {
		h.log.Add(fmt.Sprintf("c%d", i), i)
	}
	h.log.Add("a", 10)
	for range 2 {
		if err := v.CatchUp(soon); err != nil {
			t.Fatal(err)
		}
		h.wantTotal(v, "a", 11)
		h.wantTotal(v, "b", 2)
		for i := range 20 {
			h.wantTotal(v, fmt.Sprintf("c%d", i), i)
		}
		position := v.Position()
		if position[kittest.Stream] < 3 || position[kittest.Stream+"-1"] < 3 {
			t.Errorf("the position is %v", position)
		}
		if err := stop(); err != nil {
			t.Fatal(err)
		}
		v, stop = h.run(totals)
		if built := v.LastBuild(); built.Events > 0 {
			t.Errorf("the view was built again: %+v", built)
		}
	}
	if err := v.Rebuild(t.Context()); err != nil {
		t.Fatal(err)
	}
	h.wantTotal(v, "a", 11)
	h.wantTotal(v, "c19", 19)
	for _, counter := range []string{"a", "c0", "c1", "c2", "c3"} {
		at, err := v.Last(t.Context(), kittest.Stream, "events.counter."+counter+".>")
		if err != nil || at.Sequence == 0 || v.Place(kittest.Stream, h.log.Layout.Number(at.Stream, at.Sequence)) != at {
			t.Errorf("the last event of %s is at %v, %v", counter, at, err)
		}
		if home := h.log.Layout.Homes(kittest.Stream, counter)[0]; counter != "a" && at.Stream != home {
			t.Errorf("%s is on %s, not %s", counter, at.Stream, home)
		}
	}
	if at, err := v.Last(t.Context(), kittest.Stream, "events.counter.nobody.>"); err != nil || at.Sequence != 0 {
		t.Errorf("the last event of nobody is at %v, %v", at, err)
	}
	if err := stop(); err != nil {
		t.Fatal(err)
	}
}

// Two partitions have events with the same sequence. A view that remembers commands keeps them apart.
func TestView_RemembersCommandsOfAllPartitions(t *testing.T) {
	h := newHarness(t)
	h.log = h.log.Grow(2)
	def := totals
	def.Commands = true
	streams, sequences := map[string]string{}, map[uint64]int{}
	for i := range 10 {
		counter := fmt.Sprintf("c%d", i)
		home, _, err := h.log.Home(t.Context(), kittest.Stream, "events.counter."+counter+".>")
		if err != nil {
			t.Fatal(err)
		}
		streams[counter] = home
		sequences[h.record(counter, "w", "hash", 1)]++
	}
	if len(sequences) == 10 {
		t.Fatal("no sequence is on both partitions")
	}
	v, stop := h.run(def)
	if err := v.CatchUp(t.Context()); err != nil {
		t.Fatal(err)
	}
	for counter, home := range streams {
		event, through, err := v.CommandEvent(t.Context(), home, counter, "w", 0)
		if err != nil || event == 0 || through < event {
			t.Errorf("the event of %s is %d through %d, %v", counter, event, through, err)
		}
		if r, err := h.log.At(t.Context(), home, event); err != nil || r.Event.EntityID() != counter {
			t.Errorf("at %s:%d is %+v, %v", home, event, r, err)
		}
	}
	if err := stop(); err != nil {
		t.Fatal(err)
	}
}
