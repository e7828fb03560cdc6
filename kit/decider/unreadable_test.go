package decider_test

import (
	"strings"
	"testing"

	"lonja/kit/errs"
	"lonja/kit/kittest"
)

// Nothing is refused for good because a disk does not give what an entity was, and
// nobody is told to restore a log that has lost nothing.
func TestAnEntityThatTheDiskDoesNotGiveIsNotTakenForANewOne(t *testing.T) {
	log := kittest.New(t)
	log.Add("c", 4)
	log.MakeUnreadable()
	own, there := replica(log) // another process, that has seen nothing yet
	if at, err := own.Last(t.Context(), kittest.Stream, "events.counter.new.>"); at != 0 || err != nil {
		t.Errorf("of an entity that is new there is %d, %v", at, err)
	}
	if at, err := own.Last(t.Context(), kittest.Stream, "events.counter.c.>"); !errs.Is(err, errs.Unavailable) {
		t.Errorf("of one that there is, %d, %v", at, err)
	}
	if r, err := there.Decide(t.Context(), wish("w1", "c"), add(limit+1), nil); !errs.Is(err, errs.Unavailable) {
		t.Errorf("refused: %+v, %v", r, err)
	} else if strings.Contains(err.Error(), "restore") {
		t.Errorf("nothing is lost, but it says %v", err)
	}
}
