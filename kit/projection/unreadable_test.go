package projection_test

import (
	"errors"
	"testing"

	"lonja/kit/kittest"
	"lonja/kit/projection"
)

// A disk that does not give an event is no log that has lost it: the server says of
// both that there is no such message, but of one that it should be there.
func TestAFactThatTheDiskDoesNotGiveIsNotTakenForLost(t *testing.T) {
	h := newHarness(t)
	some := totals
	some.Reads = []projection.Source{{Stream: kittest.Stream, Subjects: []string{"events.counter.c.*"}}}
	v, stop := h.run(some)
	last := h.log.Add("c", 1)
	h.await(v, last)
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	h.log.Spoil()
	if _, err := h.open(some); err == nil || errors.Is(err, projection.ErrLost) {
		t.Errorf("opened with %v", err)
	}
}
