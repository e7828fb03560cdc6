package main

import (
	"context"
	"fmt"
	"time"
)

// serviceAway kills all replicas of one service after another, and checks how the
// rest of the shop behaves without it.
func serviceAway(ctx context.Context, t *trial) {
	for _, name := range serviceNames {
		for _, p := range t.named(name) {
			p.kill()
		}
		t.checkWithout(ctx, name)
		pause(ctx, t.options.duration/5)
		for _, p := range t.named(name) {
			if !t.must(p.start()) {
				return
			}
		}
		if !t.must(eventually(ctx, restTimeout, t.ready)) {
			return
		}
	}
}

// request is an HTTP request and the status that it must get.
type request struct {
	what, method, path, body string
	status                   int
}

// checkWithout checks which requests still work without a service, and how the
// others are rejected.
func (t *trial) checkWithout(ctx context.Context, name string) {
	order := request{"an order", "POST", "/api/orders", orderOf(sku(4), 1), 201}
	product := request{"a product", "GET", "/api/products/" + sku(4), "", 200}
	stock := request{"stock", "GET", "/api/products/" + sku(4) + "/stock", "", 200}
	orders := request{"one's orders", "GET", "/api/orders", "", 200}
	login := request{"a login", "POST", "/api/auth/login", mustJSON(map[string]string{"email": adminEmail, "password": adminPassword}), 200}
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
	p := t.load.customers[t.rng.IntN(len(t.load.customers))]
	for _, e := range []request{order, product, stock, orders, login} {
		t.expect(ctx, name, p, e)
	}
}

func (t *trial) expect(ctx context.Context, name string, p *user, e request) {
	hand := p.session(0)
	c := &command{kind: "place", by: p, path: e.path, body: e.body, key: "without-" + name}
	began := time.Now()
	key := "" // routes without idempotency reject a key
	if e.what == "an order" {
		key = c.key
	}
	a, err := hand.do(ctx, e.method, e.path, e.body, "Idempotency-Key", key)
	switch {
	case err != nil:
		t.fail("without %s, %s got no answer: %v", name, e.what, err)
	case a.status != e.status:
		t.fail("without %s, %s got %d, not %d: %s", name, e.what, a.status, e.status, a.body)
	case a.status == 503 && a.header.Get("Retry-After") == "":
		t.fail("without %s, %s got 503 without Retry-After", name, e.what)
	case a.status == 202 && a.header.Get("Location") == "":
		t.fail("without %s, %s got 202 without Location", name, e.what)
	case a.status == 202:
		t.record("202 after %v", time.Since(began).Round(time.Millisecond))
	}
	if e.what == "an order" {
		if c.result = unknown; err == nil {
			c.record(a)
		}
		t.history.add(c)
	}
}

// expectNotReady checks that the shop reports within a time that it is not ready.
func (t *trial) expectNotReady(ctx context.Context, within time.Duration, why string) {
	began := time.Now()
	err := eventually(ctx, within, func() error {
		if t.ready() == nil {
			return fmt.Errorf("the shop reports ready although %s", why)
		}
		return nil
	})
	if t.must(err) {
		t.record("not ready %v after %s", time.Since(began).Round(10*time.Millisecond), why)
	}
}
