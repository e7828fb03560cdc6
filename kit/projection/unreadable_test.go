package projection_test

import (
	"errors"
	"testing"

	"lonja/kit/kittest"
	"lonja/kit/projection"
)

// A message that the disk does not return is not lost. The server reports "no message" in both
// cases, but lists a lost one as deleted.
func TestOpen_DoesNotReportAnUnreadableEventAsLost(t *testing.T) {
	h := newHarness(t)
	some := totals
	some.Reads = []projection.Source{{Stream: kittest.Stream, Subjects: []string{"events.counter.c.*"}}}
	v, stop := h.run(some)
	last := h.log.Add("c", 1)
	h.await(v, last)
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	h.log.MakeUnreadable()
	if _, err := h.open(some); err == nil || errors.Is(err, projection.ErrLost) {
		t.Errorf("opened with %v", err)
	}
}
