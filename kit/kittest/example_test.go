package kittest_test

import (
	"fmt"
	"testing"

	"lonja/kit/eventlog"
	"lonja/kit/kittest"
)

// In a test, pass its t to New. An Example has none, so RunExample lends one.
func Example() {
	kittest.RunExample(func(t testing.TB) {
		log := kittest.New(t)
		log.Add("visits", 2)
		log.Add("sales", 7)
		last := log.Add("visits", 3)

		sum := 0
		err := log.Load(t.Context(), kittest.Stream, "events.counter.visits.>", 0, last, func(r eventlog.Record) {
			sum += r.Event.(kittest.Added).By
		})
		if err != nil {
			t.Fatal(err)
		}
		fmt.Println("visits:", sum)
	})
	// Output: visits: 5
}
