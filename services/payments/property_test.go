package payments

import (
	"cmp"
	"flag"
	"testing"

	"pgregory.net/rapid"

	"lonja/events"
	"lonja/events/command"
)

// Some bugs need five events in one order; -rapid.checks on the command line still wins.
func init() { _ = flag.Set("rapid.checks", "2000") }

// TestPayment_NoSequenceTakesMoneyTwice applies commands, events and reports in any order and any
// number of times, and follows the money.
func TestPayment_NoSequenceTakesMoneyTwice(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		l := &ledger{recorded: map[string]int{}, again: map[int]int{}}
		actions := map[string]func(*rapid.T){
			"awaiting":  func(t *rapid.T) { l.meets(t, awaiting) },
			"cancelled": func(t *rapid.T) { l.isCancelled = true; l.meets(t, cancelled) },
			"reminder":  func(t *rapid.T) { l.meets(t, requested) },
			"pay":       func(t *rapid.T) { l.meets(t, pays) },
			"decline":   func(t *rapid.T) { l.meets(t, declines) },
			"retry":     func(t *rapid.T) { l.meets(t, retries) },
			"report": func(t *rapid.T) {
				c := command.ReportPayment{Provider: "sandbox", PaymentID: id, Amount: amount.Amount, Currency: amount.Currency, Report: "evt",
					Outcome: rapid.SampledFrom([]string{command.Pay, command.Decline, command.Expire}).Draw(t, "outcome"),
					Attempt: rapid.IntRange(0, 4).Draw(t, "attempt"), Capture: "pi"}
				if rapid.IntRange(0, 5).Draw(t, "wrong") == 0 {
					c.Amount++
				}
				l.meets(t, c)
			},
			"own captures": func(t *rapid.T) {
				for _, c := range l.captures {
					l.meets(t, c)
				}
			},
			"": l.check,
		}
		t.Repeat(actions)

		// Once everything has been delivered, a cancelled order's money is refunded.
		if l.isCancelled {
			actions["own captures"](t)
			if l.recorded["refunded"] != l.recorded["captured"] {
				t.Fatalf("the order is cancelled and its money is not refunded: %v", l.recorded)
			}
		}
	})
}

// ledger follows the money of a payment.
type ledger struct {
	p           payment
	recorded    map[string]int // by the event's name, without what came a second time
	again       map[int]int    // what came a second time, by attempt
	isCancelled bool
	captures    []events.PaymentCaptured
}

func (l *ledger) meets(t *rapid.T, when any) {
	then, _ := decide(l.p, when)
	if then == nil {
		return
	}
	if err := then.Check(); err != nil {
		t.Fatalf("%+v is invalid: %v", then, err)
	}
	switch c, ok := then.(events.PaymentCaptured); {
	case ok && c.Again:
		l.again[c.Attempt]++
	default:
		if ok {
			l.captures = append(l.captures, c)
		}
		l.recorded[shortName(then, nil)]++
	}
	l.p = evolve(l.p, then, noon)
}

func (l *ledger) check(t *rapid.T) {
	for _, event := range []string{"requested", "captured", "refunded", "expired", "voided"} {
		if l.recorded[event] > 1 {
			t.Fatalf("%s %d times", event, l.recorded[event])
		}
	}
	for n, times := range l.again {
		if times > 1 || l.recorded["captured"] == 0 || cmp.Or(l.captures[0].Attempt, 1) == n {
			t.Fatalf("attempt %d captured again: %v, %v", n, l.again, l.captures)
		}
	}
	switch {
	case l.recorded["refunded"] > l.recorded["captured"]:
		t.Fatal("more was refunded than captured")
	case l.recorded["captured"] > l.recorded["requested"]:
		t.Fatal("money was captured that was not requested")
	case l.recorded["refunded"] > 0 && !l.isCancelled:
		t.Fatal("money was refunded although its order is not cancelled")
	}
}
