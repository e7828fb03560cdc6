package decider_test

import (
	"context"
	"fmt"
	"testing"

	"pgregory.net/rapid"

	"lonja/kit/decider"
	"lonja/kit/kittest"
)

// grownLog returns a log whose stream got these numbers of partitions, one after the other.
func grownLog(t *testing.T, counts ...int) *kittest.Log {
	log := kittest.New(t)
	for _, n := range counts {
		log = log.Grow(n)
	}
	return log
}

// Replicas decide on entities while a log grows, each time after all were restarted. Whoever decides first
// after that, an entity is where it was, and a command that comes again gets the same receipt.
func TestDecider_AnEntityStaysOnItsPartition(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		log := kittest.New(t)
		home, receipts, totals := map[string]string{}, map[string]decider.Receipt{}, map[string]int{}
		for n := 1; n <= 3; n++ {
			if log = log.Grow(n); n == 1 {
				log.Layout = nil // nothing says so yet
			}
			replicas := []*decider.Decider[int]{newDecider(log), newDecider(log)}
			for range rapid.IntRange(1, 25).Draw(rt, "decisions") {
				d := rapid.SampledFrom(replicas).Draw(rt, "replica")
				counter := fmt.Sprintf("c%d", rapid.IntRange(0, 9).Draw(rt, "counter"))
				id := fmt.Sprintf("%s-%d", counter, rapid.IntRange(0, 3).Draw(rt, "command"))
				got, err := d.Decide(context.Background(), command(id, counter), add(1), total)
				if err != nil {
					rt.Fatal(err)
				}
				first, again := receipts[id]
				if again && (!got.Replayed || got.Stream != first.Stream || got.Sequence != first.Sequence || got.Reply != first.Reply) {
					rt.Fatalf("with %d partitions, %s again: %+v, first %+v", n, id, got, first)
				}
				if !again {
					receipts[id], totals[counter] = got, totals[counter]+1
				}
				if was := home[counter]; was != "" && was != got.Stream || got.Reply.(int) > totals[counter] {
					rt.Fatalf("with %d partitions, %s is on %s, and was on %s; %+v of %d", n, counter, got.Stream, was, got, totals[counter])
				}
				home[counter] = got.Stream
			}
		}
	})
}

func TestDecider_NewEntitiesAreSpread(t *testing.T) {
	log := grownLog(t, 2, 3)
	d, has := newDecider(log), map[string]int{}
	for i := range 60 {
		got, err := d.Decide(t.Context(), command(fmt.Sprintf("w%d", i), ""), add(1), total)
		if err != nil {
			t.Fatal(err)
		}
		r, err := d.At(t.Context(), got.EntityID, got.Sequence)
		if err != nil || r.Event == nil || r.Stream != got.Stream {
			t.Fatalf("at %s:%d is %+v, %v", got.Stream, got.Sequence, r, err)
		}
		has[got.Stream]++
	}
	for _, stream := range log.Layout.Partitions(kittest.Stream) {
		if has[stream] < 10 {
			t.Errorf("%s has %d of 60 entities", stream, has[stream])
		}
	}
}

// A snapshot is of the entity on its partition, and what is older than the window is read there.
func TestDecider_SnapshotsAndOlderCommandsOnAPartition(t *testing.T) {
	log, dir := grownLog(t, 2), t.TempDir()
	counter := onPartition(t, log, kittest.Stream+"-1")
	k := &keeper{log: log, dir: dir, every: 5}
	d, snapshots := k.start(1)
	for i := range 8 {
		if _, err := d.Decide(t.Context(), command(fmt.Sprintf("w%d", i), counter), add(1), total); err != nil {
			t.Fatal(err)
		}
	}
	snapshots.Save(t.Context())
	again, _ := k.start(1)
	got, err := again.Decide(t.Context(), command("w0", counter), add(1), total)
	if err != nil || !got.Replayed || got.Reply != 1 || got.Stream != kittest.Stream+"-1" {
		t.Errorf("the first command again: %+v, %v", got, err)
	}
	n := 0
	if err := again.Peek(t.Context(), counter, func(s int) { n = s }); err != nil || n != 8 {
		t.Errorf("the total is %d, %v", n, err)
	}
}

// onPartition returns a counter that is new on a partition.
func onPartition(t *testing.T, log *kittest.Log, stream string) string {
	t.Helper()
	for i := range 1000 {
		if counter := fmt.Sprintf("p%d", i); log.Layout.Homes(kittest.Stream, counter)[0] == stream {
			return counter
		}
	}
	t.Fatal("no counter is put on " + stream)
	return ""
}
