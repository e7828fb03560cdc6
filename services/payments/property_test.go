package payments

import (
	"cmp"
	"errors"
	"flag"
	"fmt"
	"testing"

	"pgregory.net/rapid"

	"lonja/events"
	"lonja/events/command"
	"lonja/kit/service"
)

// Some bugs need five events in one order; -rapid.checks on the command line still wins.
func init() { _ = flag.Set("rapid.checks", "2000") }

// money follows a payment's money from its events, apart from the state that decides.
type money struct {
	p         payment
	recorded  map[string]int
	cancelled bool
	captures  []events.PaymentCaptured
	again     map[int]int // what came a second time, by attempt
	asked     []events.PaymentRefundRequested
	pending   map[events.RefundID]int64 // set aside
	back      map[events.RefundID]int64 // given back
}

func (m *money) meets(t *rapid.T, when any) {
	then, _ := decide(m.p, when)
	if then == nil {
		return
	}
	if err := then.Check(); err != nil {
		t.Fatalf("%+v is invalid: %v", then, err)
	}
	switch e := then.(type) {
	case events.PaymentCaptured:
		if e.Again {
			m.again[e.Attempt]++
			m.p = evolve(m.p, then, noon)
			return
		}
		m.captures = append(m.captures, e)
	case events.PaymentRefundRequested:
		if _, twice := m.back[e.RefundID]; twice || m.pending[e.RefundID] != 0 {
			t.Fatalf("%s is asked for twice", e.RefundID)
		}
		m.asked, m.pending[e.RefundID] = append(m.asked, e), e.Amount.Amount
	case events.PaymentRefundFailed:
		delete(m.pending, e.RefundID)
	case events.PaymentRefunded:
		if m.pending[e.RefundID] != e.Amount.Amount {
			t.Fatalf("%+v, but %d were set aside", e, m.pending[e.RefundID])
		}
		delete(m.pending, e.RefundID)
		m.back[e.RefundID] = e.Amount.Amount
		if e.Partial != (m.taken() > sum(m.back)) {
			t.Fatalf("%+v, after %v of %d", e, m.back, m.taken())
		}
	}
	m.recorded[shortName(then, nil)]++
	m.p = evolve(m.p, then, noon)
}

func (m *money) taken() (all int64) {
	for _, c := range m.captures {
		all += c.Amount.Amount
	}
	return all
}

func sum(of map[events.RefundID]int64) (all int64) {
	for _, amount := range of {
		all += amount
	}
	return all
}

func (m *money) holds(t *rapid.T) {
	for _, event := range []string{"requested", "captured", "expired", "voided"} {
		if m.recorded[event] > 1 {
			t.Fatalf("%s %d times", event, m.recorded[event])
		}
	}
	for n, times := range m.again {
		if times > 1 || len(m.captures) == 0 || cmp.Or(m.captures[0].Attempt, 1) == n {
			t.Fatalf("attempt %d captured again: %v, %v", n, m.again, m.captures)
		}
	}
	switch {
	case sum(m.back)+sum(m.pending) > m.taken():
		t.Fatalf("%v went back and %v will, but %d were captured", m.back, m.pending, m.taken())
	case m.recorded["captured"] > m.recorded["requested"]:
		t.Fatal("money was captured that was not requested")
	}
}

// aReport is something that the provider reports, which need not be right.
func aReport(t *rapid.T) command.ReportPayment {
	c := command.ReportPayment{Provider: "sandbox", PaymentID: id, Amount: amount.Amount, Currency: amount.Currency, Report: "evt",
		Outcome: rapid.SampledFrom([]string{command.Pay, command.Decline, command.Expire}).Draw(t, "outcome"),
		Attempt: rapid.IntRange(0, 4).Draw(t, "attempt"), Capture: "pi"}
	if rapid.IntRange(0, 5).Draw(t, "wrong") == 0 {
		c.Amount++
	}
	return c
}

// TestPayment_NoSequenceTakesMoneyTwice applies commands, events, reports and answers of the provider in any
// order and any number of times, and follows the money.
func TestPayment_NoSequenceTakesMoneyTwice(t *testing.T) {
	parts, fails := 0, 0
	rapid.Check(t, func(t *rapid.T) {
		m := &money{recorded: map[string]int{}, again: map[int]int{}, pending: map[events.RefundID]int64{}, back: map[events.RefundID]int64{}}
		byStaff := false
		answers := func(t *rapid.T, err error) {
			if len(m.asked) > 0 {
				m.meets(t, answer{rapid.SampledFrom(m.asked).Draw(t, "refund"), err})
			}
		}
		actions := map[string]func(*rapid.T){
			"awaiting":  func(t *rapid.T) { m.meets(t, awaiting) },
			"cancelled": func(t *rapid.T) { m.cancelled = true; m.meets(t, cancelled) },
			"reminder":  func(t *rapid.T) { m.meets(t, requested) },
			"pay":       func(t *rapid.T) { m.meets(t, pays) },
			"decline":   func(t *rapid.T) { m.meets(t, declines) },
			"retry":     func(t *rapid.T) { m.meets(t, retries) },
			"report":    func(t *rapid.T) { m.meets(t, aReport(t)) },
			"refund": func(t *rapid.T) {
				byStaff = true
				n := rapid.Int64Range(1, 4).Draw(t, "refund")
				m.meets(t, asks(events.RefundID(fmt.Sprintf("ref_%d", n)), 400*n))
			},
			"done":    func(t *rapid.T) { answers(t, nil) },
			"refused": func(t *rapid.T) { answers(t, service.Permanent(errors.New("no"))) },
			"unknown": func(t *rapid.T) { answers(t, errors.New("no answer")) },
			"own captures": func(t *rapid.T) {
				for _, c := range m.captures {
					m.meets(t, c)
				}
			},
		}
		actions[""] = func(t *rapid.T) {
			m.holds(t)
			if len(m.asked) > 0 && !m.cancelled && !byStaff {
				t.Fatal("money goes back although its order is not cancelled")
			}
		}
		t.Repeat(actions)
		parts, fails = parts+m.recorded["refunded"], fails+m.recorded["refund_failed"]

		// Once everything has been delivered and the provider does what it is asked for, a cancelled
		// order's money is refunded.
		if m.cancelled {
			actions["own captures"](t)
			m.meets(t, cancelled)
			for _, asked := range m.asked {
				m.meets(t, answer{of: asked})
			}
			if sum(m.back) != m.taken() {
				t.Fatalf("the order is cancelled, and of %d only %v went back", m.taken(), m.back)
			}
			if m.taken() > 0 && m.p.status != "refunded" {
				t.Fatalf("all went back, and the payment is %s", m.p.status)
			}
		}
	})
	if parts == 0 || fails == 0 {
		t.Fatalf("%d refunds were made and %d failed: the test proves nothing", parts, fails)
	}
}
