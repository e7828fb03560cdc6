package recovery

import (
	"encoding/json"
	"fmt"
	"sync"
	"testing"

	"lonja/events/query"
	"lonja/test/harness"
)

// A shop that is killed at any moment keeps every acknowledged order, once, and
// continues after a restart.
func TestKill_KeepsEveryAcknowledgedOrder(t *testing.T) {
	const rounds, customers = 3, 8
	data := t.TempDir()
	p, s := harness.Up(t, "--data", data)
	boss := s.Boss()
	boss.Sells("71053", 339, 1_000_000)
	buyers := make([]*harness.Person, customers)
	for i := range buyers {
		buyers[i] = s.As(fmt.Sprintf("buyer%d", i))
	}
	tried := make([][]harness.Attempt, customers)
	for round := range rounds {
		crashWhileBuying(p, buyers, tried, round)
		p, s = harness.Up(t, "--data", data)
		for _, b := range buyers {
			b.Shop = s // the same tokens: accounts and signing keys have survived too
		}
		for i, b := range buyers {
			for _, a := range tried[i] {
				checkAttempt(t, b, a)
			}
		}
	}
	for i, b := range buyers {
		var all query.List[query.OrderView]
		b.Wants(200, "GET", "/api/orders?limit=1", nil, &all)
		if all.Meta.Total != len(tried[i]) {
			t.Errorf("%s has %d orders after %d keys", b.Name, all.Meta.Total, len(tried[i]))
		}
	}
	p.Stop()
}

// crashWhileBuying runs the buyers until the shop, which is killed after a number of
// orders, no longer answers.
func crashWhileBuying(p *harness.Process, buyers []*harness.Person, tried [][]harness.Attempt, round int) {
	acknowledged := make(chan struct{}, 1_000_000)
	var buying sync.WaitGroup
	for i, b := range buyers {
		buying.Go(func() {
			for n := 0; ; n++ {
				a := harness.Attempt{Key: fmt.Sprintf("%s-%d-%d", b.Name, round, n)}
				got, err := b.Do("POST", "/api/orders", harness.Order("71053", 1), "Idempotency-Key", a.Key)
				var o query.OrderView
				if err == nil && got.Status == 201 && json.Unmarshal(got.Body, &o) == nil {
					a.ID = o.ID
					acknowledged <- struct{}{}
				}
				tried[i] = append(tried[i], a)
				if a.ID == "" {
					return
				}
			}
		})
	}
	for range 300 + 100*round {
		<-acknowledged
	}
	p.Kill()
	buying.Wait()
}

// checkAttempt checks that an acknowledged order exists, and that a retry with the
// same key creates no second one.
func checkAttempt(t *testing.T, b *harness.Person, a harness.Attempt) {
	t.Helper()
	var again query.OrderView
	got := b.Wants(201, "POST", "/api/orders", harness.Order("71053", 1), &again, "Idempotency-Key", a.Key)
	if a.ID == "" {
		return // the result was unknown before the retry
	}
	if again.ID != a.ID || got.Header.Get("Idempotent-Replayed") != "true" {
		t.Fatalf("order %s was acknowledged; the same key now gives %s, replayed %q", a.ID, again.ID, got.Header.Get("Idempotent-Replayed"))
	}
	b.Wants(200, "GET", "/api/orders/"+string(a.ID), nil, nil)
}
