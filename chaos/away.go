package main

import (
	"context"
	"fmt"
	"time"
)

// away takes one service after another away, all of its replicas, and looks
// how the shop does without it.
func away(ctx context.Context, t *trial) {
	for _, name := range serviceNames {
		for _, p := range t.named(name) {
			p.kill()
		}
		t.without(ctx, name)
		pause(ctx, t.options.load/5)
		for _, p := range t.named(name) {
			if !t.must(p.start()) {
				return
			}
		}
		if !t.must(eventually(ctx, restWithin, t.ready)) {
			return
		}
	}
}

// expectations without a service: what somebody who asks for it must get.
type expectation struct {
	what, method, path, body string
	status                   int
}

// without checks what still works, and how that which does not is refused.
func (t *trial) without(ctx context.Context, name string) {
	order := expectation{"an order", "POST", "/api/orders", orderOf(sku(4), 1), 201}
	product := expectation{"a product", "GET", "/api/products/" + sku(4), "", 200}
	stock := expectation{"stock", "GET", "/api/products/" + sku(4) + "/stock", "", 200}
	orders := expectation{"one's orders", "GET", "/api/orders", "", 200}
	login := expectation{"a login", "POST", "/api/auth/login", asJSON(map[string]string{"email": adminEmail, "password": adminPassword}), 200}
	switch name {
	case "orders":
		order.status, orders.status = 202, 503
	case "catalog":
		product.status = 503
	case "inventory":
		stock.status = 503
	case "identity":
		login.status = 503
	}
	p := t.crowd.customers[t.rng.IntN(len(t.crowd.customers))]
	for _, e := range []expectation{order, product, stock, orders, login} {
		t.expect(ctx, name, p, e)
	}
}

func (t *trial) expect(ctx context.Context, name string, p *person, e expectation) {
	hand := p.hand(0)
	w := &wish{kind: "place", who: p, path: e.path, body: e.body, key: "without-" + name}
	began := time.Now()
	key := "" // a route that takes none refuses it
	if e.what == "an order" {
		key = w.key
	}
	a, err := hand.do(ctx, e.method, e.path, e.body, "Idempotency-Key", key)
	switch {
	case err != nil:
		t.wrong("without %s, %s got no answer: %v", name, e.what, err)
	case a.status != e.status:
		t.wrong("without %s, %s got %d, not %d: %s", name, e.what, a.status, e.status, a.body)
	case a.status == 503 && a.header.Get("Retry-After") == "":
		t.wrong("without %s, %s got 503 that does not say when to come back", name, e.what)
	case a.status == 202 && a.header.Get("Location") == "":
		t.wrong("without %s, %s got 202 that does not say where to ask", name, e.what)
	case a.status == 202:
		t.measured("202 after %v", time.Since(began).Round(time.Millisecond))
	}
	if e.what == "an order" {
		if w.result = unknown; err == nil {
			w.learn(a)
		}
		t.history.add(w)
	}
}

// expectNotReady makes sure that the shop says that it is not ready, soon.
func (t *trial) expectNotReady(ctx context.Context, within time.Duration, why string) {
	began := time.Now()
	err := eventually(ctx, within, func() error {
		if t.ready() == nil {
			return fmt.Errorf("the shop says that it is ready although %s", why)
		}
		return nil
	})
	if t.must(err) {
		t.measured("not ready %v after %s", time.Since(began).Round(10*time.Millisecond), why)
	}
}
