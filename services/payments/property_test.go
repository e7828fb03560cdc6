package payments

import (
	"flag"
	"testing"

	"pgregory.net/rapid"

	"lonja/events"
)

// Some bugs need five events in one order; -rapid.checks on the command line still wins.
func init() { _ = flag.Set("rapid.checks", "2000") }

// TestPayment_NoSequenceTakesMoneyTwice applies commands and events in any order and any
// number of times, and follows the money.
func TestPayment_NoSequenceTakesMoneyTwice(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var p payment
		recorded := map[string]int{}
		isCancelled := false
		captures := []events.PaymentCaptured{}
		meets := func(t *rapid.T, when any) {
			then, _ := decide(p, when)
			if then == nil {
				return
			}
			if err := then.Check(); err != nil {
				t.Fatalf("%+v is invalid: %v", then, err)
			}
			if c, ok := then.(events.PaymentCaptured); ok {
				captures = append(captures, c)
			}
			recorded[shortName(then, nil)]++
			p = evolve(p, then, noon)
		}
		actions := map[string]func(*rapid.T){
			"awaiting":  func(t *rapid.T) { meets(t, awaiting) },
			"cancelled": func(t *rapid.T) { isCancelled = true; meets(t, cancelled) },
			"reminder":  func(t *rapid.T) { meets(t, requested) },
			"pay":       func(t *rapid.T) { meets(t, pays) },
			"decline":   func(t *rapid.T) { meets(t, declines) },
			"own captures": func(t *rapid.T) {
				for _, c := range captures {
					meets(t, c)
				}
			},
		}
		actions[""] = func(t *rapid.T) {
			for event, times := range recorded {
				if times > 1 {
					t.Fatalf("%s %d times", event, times)
				}
			}
			switch {
			case recorded["refunded"] > recorded["captured"]:
				t.Fatal("more was refunded than captured")
			case recorded["captured"] > recorded["requested"]:
				t.Fatal("money was captured that was not requested")
			case recorded["refunded"] > 0 && !isCancelled:
				t.Fatal("money was refunded although its order is not cancelled")
			case recorded["captured"] > 0 && recorded["declined"] > 0 && !captures[0].Unwanted:
				t.Fatal("money was both declined and captured")
			}
		}
		t.Repeat(actions)

		// Once everything has been delivered, a cancelled order's money is refunded.
		if isCancelled {
			actions["own captures"](t)
			if recorded["refunded"] != recorded["captured"] {
				t.Fatalf("the order is cancelled and its money is not refunded: %v", recorded)
			}
		}
	})
}
