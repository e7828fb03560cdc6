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

// sameKey sends concurrent requests with one key to both gateways.
func sameKey(ctx context.Context, t *trial) {
	const rounds, requests = 10, 50
	var slowest time.Duration
	for round := range rounds {
		buyer := t.load.customers[round%len(t.load.customers)]
		cmd := &command{kind: "place", by: buyer, path: "/api/orders", key: fmt.Sprintf("at-once-%d", round), body: orderOf(sku(3), 1)}
		answers := make([]answer, requests)
		began := time.Now()
		err := inParallel(requests, requests, func(i int) (err error) {
			answers[i], err = buyer.session(i).do(ctx, "POST", cmd.path, cmd.body, "Idempotency-Key", cmd.key)
			return err
		})
		if !t.must(err) {
			return
		}
		slowest = max(slowest, time.Since(began))
		made := 0
		for _, a := range answers {
			if cmd.record(a); a.status != 201 || orderIn(a.body) != orderIn(answers[0].body) {
				t.fail("%d requests under key %s: one got %d: %s", requests, cmd.key, a.status, a.body)
			}
			if a.header.Get("Idempotent-Replayed") == "" {
				made++
			}
		}
		if made != 1 {
			t.fail("%d of %d answers under key %s are not marked as repeated; expected one", made, requests, cmd.key)
		}
		t.history.add(cmd)
		if a, err := buyer.do(ctx, "POST", cmd.path, orderOf(sku(3), 2), "Idempotency-Key", cmd.key); t.must(err) && a.status != 422 {
			t.fail("another body under key %s got %d: %s", cmd.key, a.status, a.body)
		}
	}
	t.record("%d times %d requests, slowest round %v", rounds, requests, slowest.Round(time.Millisecond))
}

// flashSale has a thousand customers order the last ten pieces.
func flashSale(ctx context.Context, t *trial) {
	const sku, pieces = "LAST", 10
	thousand := int(min(1000, 100*t.options.duration/time.Second))
	if !t.must(t.load.admin.createProduct(ctx, sku, pieces)) {
		return
	}
	users, err := register(ctx, t.shop, t.history, "rush", thousand)
	if !t.must(err) {
		return
	}
	var mu sync.Mutex
	statuses, took := map[string]int{}, []time.Duration{}
	began := time.Now()
	err = inParallel(thousand, thousand, func(i int) error {
		cmd := &command{kind: "place", by: users[i], path: "/api/orders", key: "rush", body: orderOf(sku, 1)}
		t.history.add(cmd)
		placed := time.Now()
		a, err := users[i].do(ctx, "POST", cmd.path, cmd.body, "Idempotency-Key", cmd.key, "Prefer", "wait=15")
		if err != nil {
			return err
		}
		var o client.Order
		if cmd.record(a); cmd.result != ok || json.Unmarshal(a.body, &o) != nil {
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
		t.fail("%d customers for %d pieces ended as %v", thousand, pieces, statuses)
	}
	t.record("%d customers, %d pieces: %v; all had an answer after %v, half of them after %v", thousand, pieces, statuses,
		time.Since(began).Round(10*time.Millisecond), took[len(took)/2].Round(10*time.Millisecond))
}

// lateMoney pays and cancels orders at about the time when they expire. Reservations
// and payments expire after little more than a second in this shop.
func lateMoney(ctx context.Context, t *trial) {
	delays := make([]time.Duration, 12*int(t.options.duration/time.Second))
	for i := range delays {
		delays[i] = t.between(900*time.Millisecond, 2*time.Second)
	}
	err := inParallel(20, len(delays), func(i int) error {
		b := &buyer{user: t.load.customers[i%len(t.load.customers)], patient: true, rng: t.rng}
		cmd := &command{kind: "place", by: b.user, path: "/api/orders", key: fmt.Sprintf("late-%d", i), body: orderOf(sku(i%4), 1)}
		t.history.add(cmd)
		if b.send(ctx, cmd, "POST", 0); cmd.result != ok {
			return fmt.Errorf("an order got %d", cmd.status)
		}
		pause(ctx, delays[i])
		var racing sync.WaitGroup
		for racer := range 3 {
			racing.Go(func() {
				if racer == 2 && i%3 == 0 {
					cancel := &command{kind: "cancel", by: b.user, order: cmd.order, path: "/api/orders/" + cmd.order, body: `{"status":"cancelled"}`}
					t.history.add(cancel)
					b.send(ctx, cancel, "PATCH", 0)
					return
				}
				pay := &command{kind: "pay", by: b.user, order: cmd.order, body: `{"outcome":"pay"}`,
					path: "/sandbox/payments/" + string(events.PaymentFor(events.OrderID(cmd.order)))}
				t.history.add(pay)
				b.send(ctx, pay, "POST", 0)
			})
		}
		racing.Wait()
		return nil
	})
	t.must(err)
	t.must(eventually(ctx, restTimeout, func() error { return t.settled(ctx) }))
}

// settled checks that no order of the trial awaits payment any more.
func (t *trial) settled(ctx context.Context) error {
	ends := map[string]int{}
	for _, cmd := range t.history.of("place") {
		o, err := cmd.by.GetOrder(ctx, cmd.order)
		if err != nil {
			return err
		}
		if o.Status == client.Placed || o.Status == client.AwaitingPayment {
			return fmt.Errorf("order %s is still %s", o.ID, o.Status)
		}
		ends[string(o.Status)+" "+o.CancelReason]++
	}
	t.record("%v", ends)
	return nil
}
