package containers

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"lonja/events/query"
	"lonja/test/harness"
)

// customers place one order after another, each with its own key. They retry with
// the same key at another gateway until the order is acknowledged.
type customers struct {
	buyers       []*harness.Person
	kept         [][]harness.Attempt // by buyer
	acknowledged atomic.Int64
	buying       sync.WaitGroup
	stop         context.CancelFunc
}

func (c *containers) customers(n int) *customers {
	c.gateway[0].Boss().Sells("22423", 1275, 1_000_000)
	ctx, stop := context.WithCancel(c.t.Context())
	w := &customers{stop: stop, kept: make([][]harness.Attempt, n)}
	for i := range n {
		w.buyers = append(w.buyers, c.gateway[0].As(fmt.Sprintf("buyer%d", i)))
	}
	for i, b := range w.buyers {
		w.buying.Go(func() {
			for order := i; ctx.Err() == nil; order++ {
				w.kept[i] = append(w.kept[i], w.placeOrder(c.gateway, order, b))
			}
		})
	}
	c.t.Cleanup(func() { stop(); w.buying.Wait() })
	return w
}

// patience bounds the retries of one order. It is longer than every fault.
const patience = 90 * time.Second

// placeOrder places a customer's nth order. It retries with pauses until the order
// is acknowledged, for patience at most.
func (w *customers) placeOrder(gateways []*harness.Shop, n int, b *harness.Person) harness.Attempt {
	a := harness.Attempt{Key: fmt.Sprintf("%s-%d", b.Name, n)}
	deadline, tick := time.After(patience), time.NewTicker(200*time.Millisecond)
	defer tick.Stop()
	for try := n; ; try++ {
		b.Shop = gateways[try%len(gateways)]
		got, err := b.Do("POST", "/api/orders", harness.Order("22423", 1), "Idempotency-Key", a.Key)
		var o query.OrderView
		if err == nil && got.Status == 201 && json.Unmarshal(got.Body, &o) == nil {
			a.ID = o.ID
			w.acknowledged.Add(1)
		}
		select {
		case <-tick.C:
			if a.ID != "" {
				return a
			}
		case <-deadline:
			return a
		case <-b.T.Context().Done():
			return a
		}
	}
}

// awaitOrders waits until more orders are acknowledged.
func (w *customers) awaitOrders(t *testing.T) {
	t.Helper()
	before := w.acknowledged.Load()
	harness.Within(t, time.Minute, func() error {
		if n := w.acknowledged.Load() - before; n < 30 {
			return fmt.Errorf("%d orders were acknowledged in a minute", n)
		}
		return nil
	})
}

// finish waits until every customer has finished the current order.
func (w *customers) finish(t *testing.T) {
	t.Helper()
	w.stop()
	w.buying.Wait()
	for i, b := range w.buyers {
		for _, a := range w.kept[i] {
			if a.ID == "" {
				t.Errorf("%s tried for %v to place %s", b.Name, patience, a.Key)
			}
		}
	}
}

// check checks that exactly the acknowledged orders exist.
func (w *customers) check(t *testing.T) {
	t.Helper()
	failed := make(chan error, len(w.buyers))
	for i, b := range w.buyers {
		go func() { failed <- hasExactly(b, w.kept[i]) }()
	}
	for range w.buyers {
		if err := <-failed; err != nil {
			t.Error(err)
		}
	}
	if !t.Failed() {
		t.Logf("%d orders were acknowledged, and each is there once", w.acknowledged.Load())
	}
}

// hasExactly retries each key, which must return the same order and create no other,
// and counts the orders.
func hasExactly(p *harness.Person, kept []harness.Attempt) error {
	for _, a := range kept {
		again, err := doUntilAnswered(p, "POST", "/api/orders", harness.Order("22423", 1), "Idempotency-Key", a.Key)
		var o query.OrderView
		if err = errors.Join(err, json.Unmarshal(again.Body, &o)); err != nil || o.ID != a.ID || again.Header.Get("Idempotent-Replayed") != "true" {
			return fmt.Errorf("%s: order %s was acknowledged; its key %s now gives %d, order %s, %w", p.Name, a.ID, a.Key, again.Status, o.ID, err)
		}
	}
	var all query.List[query.OrderView]
	got, err := doUntilAnswered(p, "GET", "/api/orders?limit=1", nil)
	if err = errors.Join(err, json.Unmarshal(got.Body, &all)); err != nil || all.Meta.Total != len(kept) {
		return fmt.Errorf("%s has %d orders after %d keys, %w", p.Name, all.Meta.Total, len(kept), err)
	}
	return nil
}

// doUntilAnswered sends a request until the answer is not 503, because NATS may still
// be electing leaders. It returns any other answer.
func doUntilAnswered(p *harness.Person, method, path string, body any, headers ...string) (a harness.Answer, err error) {
	err = harness.TryWithin(30*time.Second, func() (err error) {
		if a, err = p.Do(method, path, body, headers...); err == nil && a.Status == 503 {
			err = fmt.Errorf("%s %s: %d %s", method, path, a.Status, a.Body)
		}
		return err
	})
	return a, err
}
