package eventlog_test

import (
	"fmt"
	"testing"

	"lonja/kit/kittest"
)

// An event that is recorded between the two requests of Last is found or not found. It is
// never mistaken for one that the disk does not return.
func TestLast_AcceptsAnEventThatIsRecordedMeanwhile(t *testing.T) {
	log := kittest.New(t)
	for i := range 1000 {
		counter, recorded := fmt.Sprint("c", i), make(chan uint64)
		go func() { recorded <- log.Add(counter, 1) }()
		last, err := log.Last(t.Context(), kittest.Stream, "events.counter."+counter+".>")
		if at := <-recorded; err != nil || last != 0 && last != at {
			t.Fatalf("recorded at %d, but Last returned %d (%v)", at, last, err)
		}
	}
}
