package main

import (
	"context"
	"fmt"
	"time"

	"lonja/client"
)

const (
	patienceForStep = time.Minute // how long an order may keep its status
	firstPause      = 5 * time.Millisecond
)

// placeOrders opens a customer's account and places its orders one after another, in
// the order of the file.
func (t *importer) placeOrders(ctx context.Context, c *customer) error {
	s, err := t.register(ctx, "Customer "+c.number, customerEmail(c.number))
	if err != nil {
		return fmt.Errorf("customer %s: %w", c.number, err)
	}
	s.Observe(t.staff.Consistency()) // so that orders sees every product
	for _, o := range c.orders {
		whole := true
		for part, lines := range o.parts() {
			result, err := t.settle(ctx, s, o, part, lines)
			if problem := rejection(err); problem != nil {
				result.Status, result.CancelReason = "refused", problem.Error()
			} else if err != nil {
				return fmt.Errorf("invoice %s: %w", o.invoice, err)
			}
			whole = t.outcome(o, lines, result) && whole
		}
		t.outcomeOfCancellation(o, whole)
		t.progress.step()
	}
	return nil
}

// settle places one part of an order and brings it to its final status: paid, or
// cancelled when the file cancels it. It reads the status before each step, so it
// can be run again after an interruption at any point.
func (t *importer) settle(ctx context.Context, s *client.Client, o *order, part int, lines []line) (client.Order, error) {
	now, err := t.place(ctx, s, o.key(part), lines)
	paid, waiting := false, time.Now()
	for pause := firstPause; err == nil; pause = min(2*pause, time.Second) {
		switch {
		case due(now) && !paid:
			err, paid = t.pay(ctx, s, now.Payment.ID), true
		case now.Status == client.Paid && o.cancellation != nil:
			err = t.cancel(ctx, s, now.ID)
		case now.Status != client.Placed && now.Status != client.AwaitingPayment:
			return now, nil
		case time.Since(waiting) > patienceForStep:
			return now, fmt.Errorf("order %s stays %s", now.ID, now.Status)
		default:
			err = sleep(ctx, pause)
		}
		if err != nil {
			break
		}
		before := now.Status
		if now, err = t.get(ctx, s, now.ID); now.Status != before {
			waiting, pause = time.Now(), firstPause
		}
	}
	return now, err
}

// due reports whether an order can be paid.
func due(o client.Order) bool {
	return o.Status == client.AwaitingPayment && o.Payment != nil && o.Payment.Status == client.PaymentPending
}

func (t *importer) place(ctx context.Context, s *client.Client, key string, lines []line) (client.Order, error) {
	items := make([]client.OrderLine, len(lines))
	for i, l := range lines {
		items[i] = client.OrderLine{SKU: l.sku, Quantity: l.quantity}
	}
	var res client.Response
	placed, err := s.PlaceOrder(ctx, client.NewOrder{Items: items}, client.Key(key), client.Wait(10*time.Second), client.Into(&res))
	switch {
	case err != nil:
		return client.Order{}, err
	case res.Replayed():
		// The answer is the first one; the order has moved since.
		return t.get(ctx, s, placed.ID)
	}
	t.changed.Add(1)
	return *placed, nil
}

func (t *importer) get(ctx context.Context, s *client.Client, id string) (client.Order, error) {
	o, err := s.GetOrder(ctx, id)
	if err != nil {
		return client.Order{}, err
	}
	return *o, nil
}

// pay pays in the sandbox.
func (t *importer) pay(ctx context.Context, s *client.Client, id string) error {
	_, err := s.SettlePayment(ctx, id, client.Pay)
	if err == nil {
		t.changed.Add(1)
	}
	return err
}

func (t *importer) cancel(ctx context.Context, s *client.Client, id string) error {
	_, err := s.CancelOrder(ctx, id)
	if err == nil {
		t.changed.Add(1)
	}
	return err
}

func sleep(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// allOrders reads every order that the shop has, page by page.
func (t *importer) allOrders(ctx context.Context) (map[string]client.Order, error) {
	all := map[string]client.Order{}
	for o, err := range t.staff.AllOrders(ctx, client.OrderQuery{}) {
		if err != nil {
			return nil, err
		}
		all[o.ID] = o
	}
	return all, nil
}
