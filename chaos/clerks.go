package main

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"lonja/client"
)

// The clerks all work on one product, to see whether its stock behaves as if
// there were only one of it, touched by one hand at a time; and they send
// orders several times at once under one key, sometimes with another body.
const (
	clerksSKU   = "CLERKS"
	clerksStock = 30
)

type clerks struct {
	people []*person
	seed   uint64
	mu     sync.Mutex
	stock  []movedStock
	keys   []keyedOrder
	wishes map[string]bool // ids of the commands that placed orders
}

// hire makes clerks out of the administrator and a customer, four hands in all.
func hire(ctx context.Context, c *crowd, seed uint64) (*clerks, error) {
	k := &clerks{seed: seed, wishes: map[string]bool{}}
	if err := c.boss.sells(ctx, clerksSKU, clerksStock); err != nil {
		return nil, err
	}
	customers, err := register(ctx, c.shop, c.history, "clerk", 2)
	if err != nil {
		return nil, err
	}
	for range 2 {
		boss := newPerson(c.shop, c.history, adminEmail, adminPassword, 0)
		if err := boss.logIn(ctx); err != nil {
			return nil, err
		}
		k.people = append(k.people, boss)
	}
	k.people = append(k.people, customers...)
	return k, nil
}

func (k *clerks) work(ctx context.Context) {
	var working sync.WaitGroup
	for i, p := range k.people {
		rng := rand.New(rand.NewPCG(k.seed, uint64(100+i)))
		working.Go(func() {
			for n := 0; pause(ctx, time.Duration(20+rng.IntN(60))*time.Millisecond); n++ {
				key := fmt.Sprintf("clerk-%d-%d", i, n)
				switch {
				case i < 2 && n%3 == 2:
					k.look(p)
				case i < 2:
					k.adjust(p, key, rng.IntN(7)-3)
				case n%4 == 0:
					k.stutter(p, key)
				default:
					k.reserve(p, key, 1)
				}
			}
		})
	}
	working.Wait()
}

// ask sends a request that is given up after a while. Status 0 means that no
// answer came.
func ask(p *person, method, path, body string, headers ...string) answer {
	ctx, cancel := context.WithTimeout(context.Background(), 8*time.Second)
	defer cancel()
	a, err := p.do(ctx, method, path, body, headers...)
	if err != nil {
		return answer{}
	}
	return a
}

// adjust adds to the stock, or takes from it. The answer shows what that led to.
func (k *clerks) adjust(p *person, key string, delta int) {
	if delta == 0 {
		delta = 4
	}
	const route = "/stock/adjustments"
	m := movedStock{kind: adjusted, by: p, delta: delta, call: now(), command: p.command("POST /api/products/{sku}"+route, key)}
	a := ask(p, "POST", "/api/products/"+clerksSKU+route, fmt.Sprintf(`{"delta":%d,"reason":"counted"}`, delta), "Idempotency-Key", key)
	m.done = now()
	switch {
	case a.status == 200:
		m.shows(a)
	case a.status == 409:
		m.out = refused
	}
	k.note(m)
}

// look reads the stock. The view may be behind, but not behind what the reader
// has done before: so the read counts as begun when that was.
func (k *clerks) look(p *person) {
	m := movedStock{kind: looked, call: k.lastOf(p)}
	a := ask(p, "GET", "/api/products/"+clerksSKU+"/stock", "")
	if m.done = now(); a.status != 200 || m.call == 0 {
		return
	}
	m.shows(a)
	k.note(m)
}

// reserve orders pieces, and waits to hear whether they were there.
func (k *clerks) reserve(p *person, key string, pieces int) {
	m := movedStock{kind: reserved, by: p, delta: pieces, call: now(), command: p.command("POST /api/orders", key)}
	k.remember(p, key)
	a := ask(p, "POST", "/api/orders", orderOf(clerksSKU, pieces), "Idempotency-Key", key, "Prefer", "wait=5")
	m.done = now()
	var o client.Order
	if a.status == 201 && json.Unmarshal(a.body, &o) == nil {
		switch o.Status {
		case client.AwaitingPayment:
			m.out = granted
		case client.Cancelled:
			m.out = refused
		}
	}
	k.note(m)
}

// stutter sends one order five times at once under one key; one of the five is
// another order.
func (k *clerks) stutter(p *person, key string) {
	k.remember(p, key)
	var sending sync.WaitGroup
	for i := range 5 {
		o := keyedOrder{key: key, body: orderOf(sku(2), 1), call: now()}
		if i == 3 {
			o.body = orderOf(sku(2), 2)
		}
		sending.Go(func() {
			a := ask(p, "POST", "/api/orders", o.body, "Idempotency-Key", key)
			o.done, o.status = now(), a.status
			if a.status == 201 {
				o.id, o.replayed = orderIn(a.body), a.header.Get("Idempotent-Replayed") == "true"
			}
			k.mu.Lock()
			defer k.mu.Unlock()
			k.keys = append(k.keys, o)
		})
	}
	sending.Wait()
}

func (k *clerks) note(m movedStock) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.stock = append(k.stock, m)
}

// lastOf is when the clerk's latest adjustment that is known to have happened
// had begun, 0 when there is none.
func (k *clerks) lastOf(p *person) int64 {
	k.mu.Lock()
	defer k.mu.Unlock()
	for i := len(k.stock) - 1; i >= 0; i-- {
		if m := k.stock[i]; m.by == p && m.kind == adjusted && m.out == granted {
			return m.call
		}
	}
	return 0
}

func (k *clerks) remember(p *person, key string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.wishes[p.command("POST /api/orders", key)] = true
}

// placed tells whether a clerk's command placed an order.
func (k *clerks) placed(command string) bool { return k.wishes[command] }

var epoch = time.Now()

// now is a point in time as histories have it; never 0.
func now() int64 { return int64(time.Since(epoch)) + 1 }
