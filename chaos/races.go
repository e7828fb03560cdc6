package main

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"sync"
	"time"

	"lonja/client"
	"lonja/events"
)

// sameKey sends requests with one key all at once, to both gateways.
func sameKey(ctx context.Context, t *trial) {
	const rounds, requests = 10, 50
	var slowest time.Duration
	for round := range rounds {
		buyer := t.crowd.customers[round%len(t.crowd.customers)]
		w := &wish{kind: "place", who: buyer, path: "/api/orders", key: fmt.Sprintf("at-once-%d", round), body: orderOf(sku(3), 1)}
		answers := make([]answer, requests)
		began := time.Now()
		err := inParallel(requests, requests, func(i int) (err error) {
			answers[i], err = buyer.hand(i).do(ctx, "POST", w.path, w.body, "Idempotency-Key", w.key)
			return err
		})
		if !t.must(err) {
			return
		}
		slowest = max(slowest, time.Since(began))
		made := 0
		for _, a := range answers {
			if w.learn(a); a.status != 201 || orderIn(a.body) != orderIn(answers[0].body) {
				t.wrong("%d requests under key %s: one got %d: %s", requests, w.key, a.status, a.body)
			}
			if a.header.Get("Idempotent-Replayed") == "" {
				made++
			}
		}
		if made != 1 {
			t.wrong("%d of %d answers under key %s say that they are the first", made, requests, w.key)
		}
		t.history.add(w)
		if a, err := buyer.do(ctx, "POST", w.path, orderOf(sku(3), 2), "Idempotency-Key", w.key); t.must(err) && a.status != 422 {
			t.wrong("another body under key %s got %d: %s", w.key, a.status, a.body)
		}
	}
	t.measured("%d times %d requests, slowest round %v", rounds, requests, slowest.Round(time.Millisecond))
}

// rush lets a thousand customers want the last ten pieces.
func rush(ctx context.Context, t *trial) {
	const sku, pieces = "LAST", 10
	thousand := int(min(1000, 100*t.options.load/time.Second))
	if !t.must(t.crowd.boss.sells(ctx, sku, pieces)) {
		return
	}
	people, err := register(ctx, t.shop, t.history, "rush", thousand)
	if !t.must(err) {
		return
	}
	var mu sync.Mutex
	statuses, took := map[string]int{}, []time.Duration{}
	began := time.Now()
	err = inParallel(thousand, thousand, func(i int) error {
		w := &wish{kind: "place", who: people[i], path: "/api/orders", key: "rush", body: orderOf(sku, 1)}
		t.history.add(w)
		placed := time.Now()
		a, err := people[i].do(ctx, "POST", w.path, w.body, "Idempotency-Key", w.key, "Prefer", "wait=15")
		if err != nil {
			return err
		}
		var o client.Order
		if w.learn(a); w.result != ok || json.Unmarshal(a.body, &o) != nil {
			return fmt.Errorf("an order got %d: %s", a.status, a.body)
		}
		mu.Lock()
		defer mu.Unlock()
		statuses[string(o.Status)+" "+o.CancelReason]++
		took = append(took, time.Since(placed))
		return nil
	})
	t.must(err)
	slices.Sort(took)
	if statuses["awaiting_payment "] != pieces || statuses["cancelled out_of_stock"] != thousand-pieces {
		t.wrong("%d customers for %d pieces ended as %v", thousand, pieces, statuses)
	}
	t.measured("%d customers, %d pieces: %v; all knew after %v, half of them after %v", thousand, pieces, statuses,
		time.Since(began).Round(10*time.Millisecond), took[len(took)/2].Round(10*time.Millisecond))
}

// lateMoney pays, cancels and lets expire at about the same time. Reservations
// and payments last little more than a second in this shop.
func lateMoney(ctx context.Context, t *trial) {
	delays := make([]time.Duration, 12*int(t.options.load/time.Second))
	for i := range delays {
		delays[i] = t.between(900*time.Millisecond, 2*time.Second)
	}
	err := inParallel(20, len(delays), func(i int) error {
		b := &buyer{person: t.crowd.customers[i%len(t.crowd.customers)], patient: true, rng: t.rng}
		w := &wish{kind: "place", who: b.person, path: "/api/orders", key: fmt.Sprintf("late-%d", i), body: orderOf(sku(i%4), 1)}
		t.history.add(w)
		if b.try(ctx, w, "POST", 0); w.result != ok {
			return fmt.Errorf("an order got %d", w.status)
		}
		pause(ctx, delays[i])
		var racing sync.WaitGroup
		for hand := range 3 {
			racing.Go(func() {
				if hand == 2 && i%3 == 0 {
					c := &wish{kind: "cancel", who: b.person, order: w.order, path: "/api/orders/" + w.order, body: `{"status":"cancelled"}`}
					t.history.add(c)
					b.try(ctx, c, "PATCH", 0)
					return
				}
				p := &wish{kind: "pay", who: b.person, order: w.order, body: `{"outcome":"pay"}`,
					path: "/sandbox/payments/" + string(events.PaymentFor(events.OrderID(w.order)))}
				t.history.add(p)
				b.try(ctx, p, "POST", 0)
			})
		}
		racing.Wait()
		return nil
	})
	t.must(err)
	t.must(eventually(ctx, restWithin, func() error { return t.settled(ctx) }))
}

// settled makes sure that no order of the trial waits for money any more.
func (t *trial) settled(ctx context.Context) error {
	ends := map[string]int{}
	for _, w := range t.history.of("place") {
		o, err := w.who.GetOrder(ctx, w.order)
		if err != nil {
			return err
		}
		if o.Status == client.Placed || o.Status == client.AwaitingPayment {
			return fmt.Errorf("order %s is still %s", o.ID, o.Status)
		}
		ends[string(o.Status)+" "+o.CancelReason]++
	}
	t.measured("%v", ends)
	return nil
}
