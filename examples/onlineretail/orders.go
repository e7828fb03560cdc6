package main

import (
	"context"
	"fmt"
	"net/http"
	"time"
)

// shopOrder is an order as the shop shows it.
type shopOrder struct {
	ID      string `json:"id"`
	Status  string `json:"status"`
	Total   money  `json:"total"`
	Reason  string `json:"cancel_reason"`
	Payment *struct {
		Status string `json:"status"`
		URL    string `json:"url"`
	} `json:"payment"`
}

const (
	patienceForStep = time.Minute // how long an order may stay where it is
	firstPause      = 5 * time.Millisecond
)

// shopFor opens a customer's account and places their orders, one after
// another as they stand in the file.
func (t *trade) shopFor(ctx context.Context, c *customer) error {
	s, err := t.register(ctx, "Customer "+c.number, customerEmail(c.number))
	if err != nil {
		return fmt.Errorf("customer %s: %w", c.number, err)
	}
	s.saw(t.staff.consistency) // so that orders sees every product
	for _, o := range c.orders {
		whole := true
		for part, lines := range o.parts() {
			fate, err := t.settle(ctx, s, o, part, lines)
			if refused := refusal(err); refused != nil {
				fate.Status, fate.Reason = "refused", refused.Error()
			} else if err != nil {
				return fmt.Errorf("invoice %s: %w", o.invoice, err)
			}
			whole = t.outcome(o, lines, fate) && whole
		}
		t.outcomeOfCancellation(o, whole)
		t.progress.step()
	}
	return nil
}

// settle places one part of an order and moves it to where it belongs: paid,
// or cancelled when the file cancels it. It looks at the order's status before
// each step, so it may begin anywhere and run again.
func (t *trade) settle(ctx context.Context, s *session, o *order, part int, lines []line) (shopOrder, error) {
	now, err := t.place(ctx, s, o.key(part), lines)
	paid, waiting := false, time.Now()
	for pause := firstPause; err == nil; pause = min(2*pause, time.Second) {
		switch {
		case now.due() && !paid:
			err, paid = t.pay(ctx, s, now.Payment.URL), true
		case now.Status == "paid" && o.cancellation != nil:
			err = t.cancel(ctx, s, now.ID)
		case now.Status != "placed" && now.Status != "awaiting_payment":
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
		if now, err = t.look(ctx, s, now.ID); now.Status != before {
			waiting, pause = time.Now(), firstPause
		}
	}
	return now, err
}

// due reports whether the order can be paid.
func (o shopOrder) due() bool {
	return o.Status == "awaiting_payment" && o.Payment != nil && o.Payment.Status == "pending"
}

func (t *trade) place(ctx context.Context, s *session, key string, lines []line) (placed shopOrder, err error) {
	type item struct {
		SKU      string `json:"sku"`
		Quantity int64  `json:"quantity"`
	}
	items := make([]item, len(lines))
	for i, l := range lines {
		items[i] = item{l.sku, l.quantity}
	}
	got, err := s.send(ctx, request{method: http.MethodPost, path: "/api/orders", key: key, prefer: "wait=10",
		body: map[string]any{"items": items}}, &placed)
	switch {
	case err != nil:
		return placed, err
	case got.replayed:
		// The answer is the first one; the order has moved since.
		return t.look(ctx, s, placed.ID)
	}
	t.changed.Add(1)
	return placed, nil
}

func (t *trade) look(ctx context.Context, s *session, id string) (o shopOrder, err error) {
	_, err = s.send(ctx, request{method: http.MethodGet, path: "/api/orders/" + id}, &o)
	return o, err
}

// pay pays in the sandbox. Whoever has a payment's link may pay, so no token
// is sent there.
func (t *trade) pay(ctx context.Context, s *session, link string) error {
	got, err := t.api.do(ctx, request{method: http.MethodPost, path: link, body: map[string]string{"outcome": "pay"}})
	if err != nil {
		return err
	}
	s.saw(got.consistency)
	t.changed.Add(1)
	return nil
}

func (t *trade) cancel(ctx context.Context, s *session, id string) error {
	_, err := s.send(ctx, request{method: http.MethodPatch, path: "/api/orders/" + id,
		body: map[string]string{"status": "cancelled"}}, nil)
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
func (t *trade) allOrders(ctx context.Context) (map[string]shopOrder, error) {
	all := map[string]shopOrder{}
	for number, last := 1, 1; number <= last; number++ {
		var p page[shopOrder]
		if _, err := t.staff.send(ctx, request{method: http.MethodGet, path: fmt.Sprintf("/api/orders?limit=100&page=%d", number)}, &p); err != nil {
			return nil, err
		}
		for _, o := range p.Data {
			all[o.ID] = o
		}
		last = p.Meta.LastPage
	}
	return all, nil
}
