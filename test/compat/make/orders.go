package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"lonja/test/compat"
)

// order is what its customer sees of an order.
type order struct {
	ID      string `json:"id"`
	Status  string `json:"status"`
	Payment *struct {
		ID     string `json:"id"`
		Status string `json:"status"`
	} `json:"payment"`
}

func (o order) paymentIs(status string) bool { return o.Payment != nil && o.Payment.Status == status }

func orderBody(sku string, pieces int) map[string]any {
	return map[string]any{"items": []map[string]any{{"sku": sku, "quantity": pieces}}}
}

// places places an order and waits until it has a payment, needs none, or is cancelled.
func (p *person) places(ctx context.Context, sku string, pieces int) (o order, err error) {
	if err := p.keyed(ctx, "POST", "/api/orders", orderBody(sku, pieces), &o, 201); err != nil {
		return o, err
	}
	return p.sees(ctx, o.ID, func(o order) bool {
		return o.Status != "placed" && (o.Status != "awaiting_payment" || o.Payment != nil)
	})
}

// sees waits until an order is as expected.
func (p *person) sees(ctx context.Context, id string, expected func(order) bool) (o order, err error) {
	return o, eventually(ctx, func() error {
		o = order{}
		e, err := p.ask(ctx, compat.Exchange{Method: "GET", Path: "/api/orders/" + id}, 200)
		if err == nil {
			err = unmarshal(e, &o)
		}
		if err == nil && !expected(o) {
			err = fmt.Errorf("%s sees %s", p.Name, e.Answer)
		}
		return err
	})
}

// settles reports an outcome of the sandbox, "pay" or "decline", as its page does: nobody is
// logged in there.
func (t *tale) settles(ctx context.Context, o order, outcome string) error {
	nobody := t.person("", "", "")
	return nobody.do(ctx, "POST", "/sandbox/payments/pay_"+strings.TrimPrefix(o.ID, "ord_"), map[string]string{"outcome": outcome}, nil, 200)
}

// moves changes an order's status, again while it is not possible yet: goods are committed
// a moment after the payment.
func (p *person) moves(ctx context.Context, o order, status string) error {
	return eventually(ctx, func() error {
		return p.do(ctx, "PATCH", "/api/orders/"+o.ID, map[string]string{"status": status}, nil, 200)
	})
}

func (p *person) pays(ctx context.Context, o order) error {
	if err := p.settles(ctx, o, "pay"); err != nil {
		return err
	}
	_, err := p.sees(ctx, o.ID, func(o order) bool { return o.Status == "paid" && o.paymentIs("captured") })
	return err
}

// ending is how orders end, or what they wait for at last.
type ending struct {
	waits  string // "" for nothing
	orders int
	sku    string // "" for each of goods in turn
	pieces int
	tell   func(context.Context, *person, order) error
}

// order orders for everybody what ends in every way that has nothing to do with time.
func (t *tale) order(ctx context.Context) error {
	if err := t.waitFor(ctx, century, century); err != nil {
		return err
	}
	shipped := func(ctx context.Context, p *person, o order) error {
		if err := p.pays(ctx, o); err != nil {
			return err
		}
		return t.sam.moves(ctx, o, "shipped")
	}
	declined := func(ctx context.Context, p *person, o order) error { return t.settles(ctx, o, "decline") }
	cancelled := func(ctx context.Context, p *person, o order) error { return p.moves(ctx, o, "cancelled") }
	for _, e := range []ending{
		{waits: "payment", orders: 36, pieces: 2, tell: nothing},
		{waits: "shipment", orders: 24, pieces: 1, tell: func(ctx context.Context, p *person, o order) error { return p.pays(ctx, o) }},
		{waits: "delivery", orders: 18, pieces: 3, tell: shipped},
		{orders: 40, pieces: 5, tell: func(ctx context.Context, p *person, o order) error {
			if err := shipped(ctx, p, o); err != nil {
				return err
			}
			return t.sam.moves(ctx, o, "delivered")
		}},
		{orders: 14, pieces: plenty + 1, tell: nothing},
		{orders: 16, pieces: 1, tell: declined},
		{orders: 20, pieces: 2, tell: cancelled},
		{orders: 16, pieces: 4, tell: func(ctx context.Context, p *person, o order) error {
			if err := p.pays(ctx, o); err != nil {
				return err
			}
			return cancelled(ctx, p, o)
		}},
		{orders: 12, sku: free, pieces: 1, tell: nothing},
		{orders: 4, sku: free, pieces: 1, tell: cancelled},
	} {
		if err := t.orderAll(ctx, e); err != nil {
			return err
		}
	}
	return nil
}

func nothing(context.Context, *person, order) error { return nil }

func (t *tale) orderAll(ctx context.Context, e ending) error {
	for i := range e.orders {
		p, sku := t.customers[i%len(t.customers)], e.sku
		if sku == "" {
			sku = goods[i%len(goods)]
		}
		o, err := p.places(ctx, sku, e.pieces)
		if err == nil {
			err = e.tell(ctx, p, o)
		}
		if err != nil {
			return err
		}
		if e.waits != "" {
			t.record.Orders[e.waits] = append(t.record.Orders[e.waits], compat.Held{ID: o.ID, By: p.Name})
		}
	}
	return nil
}

// waitFor sets how long reservations and payments are waited for from now on.
func (t *tale) waitFor(ctx context.Context, reservation, payment string) error {
	if err := errors.Join(t.serve("inventory", "--reservation-ttl", reservation), t.serve("payments", "--payment-deadline", payment)); err != nil {
		return err
	}
	return t.ready(ctx)
}

// expire lets payments expire, and reservations, and pays some of them too late.
func (t *tale) expire(ctx context.Context) error {
	for _, first := range [][]string{{century, "300ms"}, {"300ms", century}} {
		if err := t.waitFor(ctx, first[0], first[1]); err != nil {
			return err
		}
		for i := range 12 {
			p := t.customers[i%len(t.customers)]
			var o order
			if err := p.keyed(ctx, "POST", "/api/orders", orderBody(short, 1), &o, 201); err != nil {
				return err
			}
			if _, err := p.sees(ctx, o.ID, func(o order) bool { return o.Status == "cancelled" && o.paymentIs("voided") }); err != nil {
				return err
			}
			if i%2 > 0 {
				continue
			}
			if err := t.settles(ctx, o, "pay"); err != nil {
				return err
			}
			if _, err := p.sees(ctx, o.ID, func(o order) bool { return o.paymentIs("refunded") }); err != nil {
				return err
			}
		}
	}
	return nil
}

// cross lets reservations expire while orders is down, and money arrive. Then orders meets
// both, in either order.
func (t *tale) cross(ctx context.Context) error {
	if err := t.waitFor(ctx, "1500ms", century); err != nil {
		return err
	}
	var all []order
	for i := range 8 {
		o, err := t.customers[i%len(t.customers)].places(ctx, crossing, 1)
		if err != nil {
			return err
		}
		if o.Status == "awaiting_payment" { // not on a machine that is too slow
			all = append(all, o)
		}
	}
	t.killPart("orders")
	for _, o := range all {
		if err := t.settles(ctx, o, "pay"); err != nil {
			return err
		}
	}
	err := eventually(ctx, func() error {
		var stock struct {
			Reserved int64 `json:"reserved"`
		}
		err := t.sam.do(ctx, "GET", "/api/products/"+crossing+"/stock", nil, &stock, 200)
		if err == nil && stock.Reserved > 0 {
			err = fmt.Errorf("%d are still reserved", stock.Reserved)
		}
		return err
	})
	return errors.Join(err, t.serve("orders"), t.ready(ctx), t.rest(ctx))
}

// beforeTimers is how much time there is to kill the shop before the timers of remind are
// due.
const beforeTimers = time.Minute

// remind places orders whose timers are due only after the shop was killed, and one that is
// cancelled after that.
func (t *tale) remind(ctx context.Context) (err error) {
	t.reminded = time.Now()
	for _, first := range [][]string{{century, beforeTimers.String()}, {beforeTimers.String(), century}} {
		if err := t.waitFor(ctx, first[0], first[1]); err != nil {
			return err
		}
		for range 4 {
			o, err := t.dora.places(ctx, timed, 1)
			if err != nil {
				return err
			}
			t.record.Orders["timer"] = append(t.record.Orders["timer"], compat.Held{ID: o.ID, By: t.dora.Name})
		}
	}
	if err := t.waitFor(ctx, century, century); err != nil {
		return err
	}
	t.unwanted, err = t.dora.places(ctx, later, 1)
	return err
}

// repeat sends every request with a key again. The record keeps what it is answered now.
func (t *tale) repeat(ctx context.Context) error {
	by := map[string]*person{}
	for _, p := range t.everybody() {
		by[p.Name] = p
	}
	var repeated []compat.Exchange
	for _, e := range t.record.Keyed {
		p := *by[e.By]
		if e.Path == "/api/auth/register" {
			p.token = ""
		}
		again, err := p.ask(ctx, e, 200, 201, 401)
		if err != nil {
			return err
		}
		if again.Status == 401 { // a registration whose password was changed since
			continue
		}
		if !again.Replayed {
			return fmt.Errorf("%s: %s %s was not a replay: %s", e.By, e.Method, e.Path, again.Answer)
		}
		repeated = append(repeated, again)
	}
	t.record.Keyed = repeated
	return nil
}

func encodedOrder(sku string) json.RawMessage { return encode(orderBody(sku, 1)) }
