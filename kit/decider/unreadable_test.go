package decider_test

import (
	"strings"
	"testing"

	"lonja/kit/errs"
	"lonja/kit/kittest"
)

// No command is rejected for good because the disk does not return an entity's events,
// and no error asks to restore a log that has lost nothing.
func TestDecider_DoesNotMistakeAnUnreadableEntityForANewOne(t *testing.T) {
	log := kittest.New(t)
	log.Add("c", 4)
	log.MakeUnreadable()
	own, there := replica(log) // another process, with nothing in its cache
	if at, err := own.Last(t.Context(), kittest.Stream, "events.counter.new.>"); at != 0 || err != nil {
		t.Errorf("last event of a new entity: %d, %v", at, err)
	}
	if at, err := own.Last(t.Context(), kittest.Stream, "events.counter.c.>"); !errs.Is(err, errs.Unavailable) {
		t.Errorf("last event of an unreadable entity: %d, %v", at, err)
	}
	if r, err := there.Decide(t.Context(), command("w1", "c"), add(limit+1), nil); !errs.Is(err, errs.Unavailable) {
		t.Errorf("decided: %+v, %v", r, err)
	} else if strings.Contains(err.Error(), "restore") {
		t.Errorf("data loss is reported although nothing is lost: %v", err)
	}
}
