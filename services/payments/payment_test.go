package payments

import (
	"flag"
	"testing"

	"pgregory.net/rapid"

	"lonja/events"
)

// Some bugs need five events in one order; -rapid.checks on the command line still wins.
func init() { _ = flag.Set("rapid.checks", "2000") }

// TestNoSequenceTakesMoneyTwice lets anything happen in any order and as often
// as it likes, and follows the money.
func TestNoSequenceTakesMoneyTwice(t *testing.T) {
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
				t.Fatalf("%+v cannot be recorded: %v", then, err)
			}
			if c, ok := then.(events.PaymentCaptured); ok {
				captures = append(captures, c)
			}
			recorded[word(then, nil)]++
			p = evolve(p, then, noon)
		}
		actions := map[string]func(*rapid.T){
			"awaiting":  func(t *rapid.T) { meets(t, awaiting) },
			"cancelled": func(t *rapid.T) { isCancelled = true; meets(t, cancelled) },
			"reminder":  func(t *rapid.T) { meets(t, requested) },
			"pay":       func(t *rapid.T) { meets(t, pays) },
			"decline":   func(t *rapid.T) { meets(t, declines) },
			"the money is looked at": func(t *rapid.T) {
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
				t.Fatal("money went back that never came")
			case recorded["captured"] > recorded["requested"]:
				t.Fatal("money came that nobody asked for")
			case recorded["refunded"] > 0 && !isCancelled:
				t.Fatal("money went back although its order stands")
			case recorded["captured"] > 0 && recorded["declined"] > 0 && !captures[0].Unwanted:
				t.Fatal("money was both declined and taken")
			}
		}
		t.Repeat(actions)

		// Once everything has been delivered, a cancelled order's money is back.
		if isCancelled {
			actions["the money is looked at"](t)
			if recorded["refunded"] != recorded["captured"] {
				t.Fatalf("the order is cancelled and its money kept: %v", recorded)
			}
		}
	})
}
