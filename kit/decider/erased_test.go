package decider_test

import (
	"testing"

	"lonja/kit/decider"
	"lonja/kit/errs"
	"lonja/kit/kittest"
)

// A repeated command must not show what an entity was before it was erased, also where another
// process erased it.
func TestDecider_RepeatedCommandOfAnErasedEntityGetsNoReply(t *testing.T) {
	log := kittest.New(t)
	erasable := counterType
	erasable.Erased = func(n int) bool { return n < 0 }
	replica := func() *decider.Decider[int] {
		d := decider.New(erasable)
		d.Bind(log.Log, decider.Config{})
		return d
	}
	d, other := replica(), replica()
	for _, c := range []struct {
		id string
		by int
	}{{"w1", 3}, {"w2", 4}} {
		if _, err := d.Decide(t.Context(), command(c.id, "c"), add(c.by), total); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := other.Decide(t.Context(), command("erase", "c"), add(-100), nil); err != nil {
		t.Fatal(err)
	}
	for _, id := range []string{"w1", "w2", "erase"} {
		for name, d := range map[string]*decider.Decider[int]{"that had it in memory": d, "that erased it": other, "that is new": replica()} {
			if got, err := d.Decide(t.Context(), command(id, "c"), add(1), total); !errs.Is(err, errs.NotFound) || got.Reply != nil {
				t.Errorf("%s in the process %s: %+v, %v", id, name, got, err)
			}
			if got, err := d.Decide(t.Context(), command(id, "c"), add(1), nil); err != nil || !got.Replayed {
				t.Errorf("%s without a reply in the process %s: %+v, %v", id, name, got, err)
			}
		}
	}
}
