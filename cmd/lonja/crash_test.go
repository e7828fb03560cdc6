package main

import (
	"encoding/json"
	"fmt"
	"sync"
	"testing"

	"lonja/events"
	"lonja/events/query"
)

// attempt is one order that a customer tried to place.
type attempt struct {
	key string
	id  events.OrderID // when it was acknowledged
}

// A shop that is killed at any moment has every order that it acknowledged,
// once, and takes up where it was.
func TestKilledUnderLoadNothingAcknowledgedIsLost(t *testing.T) {
	const rounds, customers = 3, 8
	data := t.TempDir()
	p, s := up(t, "--data", data)
	boss := s.boss()
	boss.sells("71053", 339, 1_000_000)
	buyers := make([]*person, customers)
	for i := range buyers {
		buyers[i] = s.as(fmt.Sprintf("buyer%d", i))
	}
	tried := make([][]attempt, customers)
	for round := range rounds {
		crashWhileBuying(p, buyers, tried, round)
		p, s = up(t, "--data", data)
		for _, b := range buyers {
			b.shop = s // the same tokens: accounts and keys have survived, too
		}
		for i, b := range buyers {
			for _, a := range tried[i] {
				checkAttempt(t, b, a)
			}
		}
	}
	for i, b := range buyers {
		var all query.List[query.OrderView]
		b.wants(200, "GET", "/api/orders?limit=1", nil, &all)
		if all.Meta.Total != len(tried[i]) {
			t.Errorf("%s has %d orders after %d keys", b.name, all.Meta.Total, len(tried[i]))
		}
	}
	p.stop()
}

// crashWhileBuying lets the buyers buy until the shop, killed after a number of
// orders, answers no more.
func crashWhileBuying(p *process, buyers []*person, tried [][]attempt, round int) {
	acknowledged := make(chan struct{}, 1_000_000)
	var buying sync.WaitGroup
	for i, b := range buyers {
		buying.Go(func() {
			for n := 0; ; n++ {
				a := attempt{key: fmt.Sprintf("%s-%d-%d", b.name, round, n)}
				got, err := b.do("POST", "/api/orders", order("71053", 1), "Idempotency-Key", a.key)
				var o query.OrderView
				if err == nil && got.status == 201 && json.Unmarshal(got.body, &o) == nil {
					a.id = o.ID
					acknowledged <- struct{}{}
				}
				tried[i] = append(tried[i], a)
				if a.id == "" {
					return
				}
			}
		})
	}
	for range 300 + 100*round {
		<-acknowledged
	}
	p.kill()
	buying.Wait()
}

// checkAttempt makes sure that an acknowledged order is there, and that trying
// again with the same key makes no second one.
func checkAttempt(t *testing.T, b *person, a attempt) {
	t.Helper()
	var again query.OrderView
	got := b.wants(201, "POST", "/api/orders", order("71053", 1), &again, "Idempotency-Key", a.key)
	if a.id == "" {
		return // unknown before: now it is certain
	}
	if again.ID != a.id || got.header.Get("Idempotent-Replayed") != "true" {
		t.Fatalf("order %s was acknowledged; the same key now gives %s, replayed %q", a.id, again.ID, got.header.Get("Idempotent-Replayed"))
	}
	b.wants(200, "GET", "/api/orders/"+string(a.id), nil, nil)
}

func order(sku string, n int64) map[string]any {
	return map[string]any{"items": []events.Quantity{pieces(sku, n)}}
}
