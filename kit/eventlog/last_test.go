package eventlog_test

import (
	"fmt"
	"testing"

	"lonja/kit/kittest"
)

// Whatever is recorded between two questions to the server is found, or not yet
// there. It is never taken for what a disk does not give.
func TestLast_OfWhatIsRecordedMeanwhile(t *testing.T) {
	log := kittest.New(t)
	for i := range 1000 {
		counter, recorded := fmt.Sprint("c", i), make(chan uint64)
		go func() { recorded <- log.Add(counter, 1) }()
		last, err := log.Last(t.Context(), kittest.Stream, "events.counter."+counter+".>")
		if at := <-recorded; err != nil || last != 0 && last != at {
			t.Fatalf("recorded at %d, and %d was found (%v)", at, last, err)
		}
	}
}
