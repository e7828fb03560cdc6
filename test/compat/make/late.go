package main

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"lonja/test/compat"
)

// deferOne defers an order, which is placed when its service is back.
func (t *tale) deferOne(ctx context.Context) error {
	t.killPart("orders")
	e, err := t.dora.ask(ctx, compat.Exchange{Method: "POST", Path: "/api/orders", Key: "deferred once", Body: encodedOrder(later)}, 202)
	if err != nil {
		return err
	}
	t.record.Keyed = append(t.record.Keyed, e)
	if err := t.serve("orders"); err != nil {
		return err
	}
	return eventually(ctx, func() error {
		e, err := t.dora.ask(ctx, compat.Exchange{Method: "GET", Path: e.Location}, 200)
		if err == nil && !strings.Contains(string(e.Answer), `"done"`) {
			err = fmt.Errorf("the deferred order is not done: %s", e.Answer)
		}
		return err
	})
}

// deferMany stops every service but identity, and leaves commands to them.
func (t *tale) deferMany(ctx context.Context) error {
	for _, name := range []string{"orders", "inventory", "payments", "catalog"} {
		t.killPart(name)
	}
	for _, d := range []struct {
		by                      *person
		outcome                 string
		method, path, key, body string
	}{
		{t.dora, "done", "POST", "/api/orders", "deferred 1", string(encodedOrder(later))},
		{t.dora, "refused", "POST", "/api/orders", "deferred 2", string(encodedOrder("NOBODY-SELLS-IT"))},
		{t.dora, "done", "PATCH", "/api/orders/" + t.unwanted.ID, "", `{"status":"cancelled"}`},
		{t.sam, "done", "POST", "/api/products", "deferred 3", `{"sku":"LATER-3","name":"New","category":"later","price":{"amount":1,"currency":"GBP"}}`},
		{t.sam, "done", "PATCH", "/api/products/" + later, "", `{"name":"Another name"}`},
		{t.sam, "done", "POST", "/api/products/" + later + "/stock/adjustments", "deferred 4", `{"delta":5,"reason":"found"}`},
	} {
		e, err := d.by.ask(ctx, compat.Exchange{Method: d.method, Path: d.path, Key: d.key, Body: json.RawMessage(d.body)}, 202)
		if err != nil {
			return err
		}
		e.Outcome = d.outcome
		t.record.Deferred = append(t.record.Deferred, e)
	}
	return nil
}

// pending reports whether a message on DEFERRED is a deferred command.
func pending(e compat.Exchange, subject string) bool {
	id := e.Location[strings.LastIndex(e.Location, "/")+1:]
	return strings.HasPrefix(subject, "deferred.") && strings.HasSuffix(subject, "."+id)
}

// poisoned are the subjects of messages that are no events.
var poisoned = []string{"events.order.poisoned.placed", "events.product.poisoned.created"}

// poison publishes messages that are no events, and waits until they are dead letters.
func (t *tale) poison(ctx context.Context) error {
	if err := t.boss.logIn(ctx); err != nil {
		return err
	}
	err := t.onNATS(func(js jetstream.JetStream) error {
		for _, subject := range poisoned {
			if _, err := js.PublishMsg(ctx, &nats.Msg{Subject: subject, Data: []byte(`{"not":"an event"}`)}); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	return eventually(ctx, func() error {
		var list struct {
			Meta struct {
				Total int `json:"total"`
			} `json:"meta"`
		}
		err := t.boss.do(ctx, "GET", "/api/deadletters", nil, &list, 200)
		if err == nil && list.Meta.Total != len(poisoned) {
			err = fmt.Errorf("there are %d dead letters", list.Meta.Total)
		}
		return err
	})
}

// readAll reads what must be answered in the same way ever after.
func (t *tale) readAll(ctx context.Context) error {
	for _, path := range []string{"/api/users?limit=100", "/api/users?email=ana@example.com", "/api/deadletters", "/api/orders?status=delivered&limit=100",
		"/.well-known/jwks.json", "/api/products?category=Gifts+%26+d%C3%A9cor", "/api/products?q=caf%C3%A9&category=Gifts+%26+d%C3%A9cor", "/api/products/" + archived} {
		if err := t.boss.read(ctx, path); err != nil {
			return err
		}
	}
	for _, sku := range goods {
		for _, path := range []string{"", "/stock"} {
			if err := t.sam.read(ctx, "/api/products/"+sku+path); err != nil {
				return err
			}
		}
	}
	for _, p := range t.customers {
		if err := t.readOf(ctx, p); err != nil {
			return err
		}
	}
	return nil
}

// readOf reads what one customer sees: the lists, and every fourth order.
func (t *tale) readOf(ctx context.Context, p *person) error {
	for _, path := range []string{"/api/auth/verify", "/api/orders?limit=100", "/api/orders?status=cancelled&limit=7&page=2"} {
		if err := p.read(ctx, path); err != nil {
			return err
		}
	}
	var list struct {
		Data []order `json:"data"`
	}
	if err := p.do(ctx, "GET", "/api/orders?limit=100", nil, &list, 200); err != nil {
		return err
	}
	for i, o := range list.Data {
		if i%4 > 0 {
			continue
		}
		paths := []string{"/api/orders/" + o.ID, "/api/orders/" + o.ID + "/timeline"}
		if o.Payment != nil {
			paths = append(paths, "/sandbox/payments/"+o.Payment.ID)
		}
		for _, path := range paths {
			if err := p.read(ctx, path); err != nil {
				return err
			}
		}
	}
	return nil
}
