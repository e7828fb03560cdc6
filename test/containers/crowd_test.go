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

// crowd are customers who order one piece after the other, each with a key of
// its own, and who ask again with that key, at another gateway, until the
// order is acknowledged.
type crowd struct {
	buyers       []*harness.Person
	kept         [][]harness.Attempt // by buyer
	acknowledged atomic.Int64
	buying       sync.WaitGroup
	stop         context.CancelFunc
}

func (c *containers) crowd(customers int) *crowd {
	c.gateway[0].Boss().Sells("22423", 1275, 1_000_000)
	ctx, stop := context.WithCancel(c.t.Context())
	w := &crowd{stop: stop, kept: make([][]harness.Attempt, customers)}
	for i := range customers {
		w.buyers = append(w.buyers, c.gateway[0].As(fmt.Sprintf("buyer%d", i)))
	}
	for i, b := range w.buyers {
		w.buying.Go(func() {
			for n := i; ctx.Err() == nil; n++ {
				w.kept[i] = append(w.kept[i], w.buy(c.gateway, n, b))
			}
		})
	}
	c.t.Cleanup(func() { stop(); w.buying.Wait() })
	return w
}

// patience is how long a customer tries to place one order. Whatever is done
// to the shop is over sooner.
const patience = 90 * time.Second

// buy places a customer's nth order: tries until it is acknowledged, at most
// for as long as their patience, and not faster than customers do.
func (w *crowd) buy(gateways []*harness.Shop, n int, b *harness.Person) harness.Attempt {
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

// buysOn waits until some more orders are acknowledged: the shop goes on.
func (w *crowd) buysOn(t *testing.T) {
	t.Helper()
	before := w.acknowledged.Load()
	harness.Within(t, time.Minute, func() error {
		if n := w.acknowledged.Load() - before; n < 30 {
			return fmt.Errorf("%d orders were acknowledged in a minute", n)
		}
		return nil
	})
}

// goHome lets everybody finish the order that they are about.
func (w *crowd) goHome(t *testing.T) {
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

// check wants every acknowledged order to be there, and nothing besides.
func (w *crowd) check(t *testing.T) {
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

// hasExactly tries each key again, which must give the same order and make no
// other, and counts the orders.
func hasExactly(p *harness.Person, kept []harness.Attempt) error {
	for _, a := range kept {
		again, err := answered(p, "POST", "/api/orders", harness.Order("22423", 1), "Idempotency-Key", a.Key)
		var o query.OrderView
		if err = errors.Join(err, json.Unmarshal(again.Body, &o)); err != nil || o.ID != a.ID || again.Header.Get("Idempotent-Replayed") != "true" {
			return fmt.Errorf("%s: order %s was acknowledged; its key %s now gives %d, order %s, %w", p.Name, a.ID, a.Key, again.Status, o.ID, err)
		}
	}
	var all query.List[query.OrderView]
	got, err := answered(p, "GET", "/api/orders?limit=1", nil)
	if err = errors.Join(err, json.Unmarshal(got.Body, &all)); err != nil || all.Meta.Total != len(kept) {
		return fmt.Errorf("%s has %d orders after %d keys, %w", p.Name, all.Meta.Total, len(kept), err)
	}
	return nil
}

// answered sends a request until it is answered with something else than that
// this is not possible now: NATS may still be choosing leaders after the last
// server came back. What the answer says is no matter here.
func answered(p *harness.Person, method, path string, body any, headers ...string) (a harness.Answer, err error) {
	err = harness.TryWithin(30*time.Second, func() (err error) {
		if a, err = p.Do(method, path, body, headers...); err == nil && a.Status == 503 {
			err = fmt.Errorf("%s %s: %d %s", method, path, a.Status, a.Body)
		}
		return err
	})
	return a, err
}
