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

// The stock clients all change the stock of one product, to check that it is
// linearizable. They also send orders several times at once under one key,
// sometimes with another body.
const (
	contendedSKU   = "CLERKS"
	contendedStock = 30
)

type stockClients struct {
	users         []*user
	seed          uint64
	mu            sync.Mutex
	stock         []stockOp
	keys          []keyedRequest
	placeCommands map[string]bool // ids of the commands that place orders
}

// newStockClients logs the administrator in twice and registers two customers.
func newStockClients(ctx context.Context, c *load, seed uint64) (*stockClients, error) {
	k := &stockClients{seed: seed, placeCommands: map[string]bool{}}
	if err := c.admin.createProduct(ctx, contendedSKU, contendedStock); err != nil {
		return nil, err
	}
	customers, err := register(ctx, c.shop, c.history, "clerk", 2)
	if err != nil {
		return nil, err
	}
	for range 2 {
		boss := newUser(c.shop, c.history, adminEmail, adminPassword, 0)
		if err := boss.logIn(ctx); err != nil {
			return nil, err
		}
		k.users = append(k.users, boss)
	}
	k.users = append(k.users, customers...)
	return k, nil
}

func (k *stockClients) run(ctx context.Context) {
	var working sync.WaitGroup
	for i, p := range k.users {
		rng := rand.New(rand.NewPCG(k.seed, uint64(100+i)))
		working.Go(func() {
			for n := 0; pause(ctx, time.Duration(20+rng.IntN(60))*time.Millisecond); n++ {
				key := fmt.Sprintf("clerk-%d-%d", i, n)
				switch {
				case i < 2 && n%3 == 2:
					k.read(p)
				case i < 2:
					k.adjust(p, key, rng.IntN(7)-3)
				case n%4 == 0:
					k.placeConcurrently(p, key)
				default:
					k.reserve(p, key, 1)
				}
			}
		})
	}
	working.Wait()
}

// send sends a request and gives up after 8 seconds. Status 0 means that no answer
// came.
func send(p *user, method, path, body string, headers ...string) answer {
	ctx, cancel := context.WithTimeout(context.Background(), 8*time.Second)
	defer cancel()
	a, err := p.do(ctx, method, path, body, headers...)
	if err != nil {
		return answer{}
	}
	return a
}

// adjust changes the stock by delta. The answer shows the resulting level.
func (k *stockClients) adjust(p *user, key string, delta int) {
	if delta == 0 {
		delta = 4
	}
	const route = "/stock/adjustments"
	m := stockOp{kind: adjustOp, by: p, delta: delta, call: now(), command: p.commandID("POST /api/products/{sku}"+route, key)}
	a := send(p, "POST", "/api/products/"+contendedSKU+route, fmt.Sprintf(`{"delta":%d,"reason":"counted"}`, delta), "Idempotency-Key", key)
	m.done = now()
	switch {
	case a.status == 200:
		m.recordLevel(a)
	case a.status == 409:
		m.outcome = rejected
	}
	k.add(m)
}

// read reads the stock. The view can be behind, but not behind the reader's own
// last adjustment. So the read counts as called when that adjustment was called.
func (k *stockClients) read(p *user) {
	m := stockOp{kind: readOp, call: k.lastAdjustment(p)}
	a := send(p, "GET", "/api/products/"+contendedSKU+"/stock", "")
	if m.done = now(); a.status != 200 || m.call == 0 {
		return
	}
	m.recordLevel(a)
	k.add(m)
}

// reserve orders pieces and waits for the answer whether they were available.
func (k *stockClients) reserve(p *user, key string, pieces int) {
	m := stockOp{kind: reserveOp, by: p, delta: pieces, call: now(), command: p.commandID("POST /api/orders", key)}
	k.rememberCommand(p, key)
	a := send(p, "POST", "/api/orders", orderOf(contendedSKU, pieces), "Idempotency-Key", key, "Prefer", "wait=5")
	m.done = now()
	var o client.Order
	if a.status == 201 && json.Unmarshal(a.body, &o) == nil {
		switch o.Status {
		case client.AwaitingPayment:
			m.outcome = accepted
		case client.Cancelled:
			m.outcome = rejected
		}
	}
	k.add(m)
}

// placeConcurrently sends an order five times at once under one key. One of the
// five has another body.
func (k *stockClients) placeConcurrently(p *user, key string) {
	k.rememberCommand(p, key)
	var sending sync.WaitGroup
	for i := range 5 {
		o := keyedRequest{key: key, body: orderOf(sku(2), 1), call: now()}
		if i == 3 {
			o.body = orderOf(sku(2), 2)
		}
		sending.Go(func() {
			a := send(p, "POST", "/api/orders", o.body, "Idempotency-Key", key)
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

func (k *stockClients) add(m stockOp) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.stock = append(k.stock, m)
}

// lastAdjustment returns when the user's latest accepted adjustment was called, 0
// when there is none.
func (k *stockClients) lastAdjustment(p *user) int64 {
	k.mu.Lock()
	defer k.mu.Unlock()
	for i := len(k.stock) - 1; i >= 0; i-- {
		if m := k.stock[i]; m.by == p && m.kind == adjustOp && m.outcome == accepted {
			return m.call
		}
	}
	return 0
}

func (k *stockClients) rememberCommand(p *user, key string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.placeCommands[p.commandID("POST /api/orders", key)] = true
}

// placed reports whether a command is one that a stock client placed an order with.
func (k *stockClients) placed(command string) bool { return k.placeCommands[command] }

var epoch = time.Now()

// now returns the nanoseconds since the program started. It is never 0.
func now() int64 { return int64(time.Since(epoch)) + 1 }
