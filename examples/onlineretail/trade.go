package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"sync/atomic"

	"lonja/client"
)

// trade is one run: a plan on its way into the shop.
type trade struct {
	shop         *client.Client // nobody's
	admin, staff *client.Client
	password     string // the administrator's
	plan         *plan
	file         string // names the file by what it contains
	parallel     int    // how many requests are under way at a time
	progress     *progress
	changed      atomic.Int64 // what this run changed in the shop

	mu       sync.Mutex
	rejected []rejected
	placed   []placed
	used     int // lines
}

// placed is an order, or a part of one, that the shop took.
type placed struct {
	id, invoice string
}

// run takes the plan into the shop: first the products, then their stock, then
// the customers, each with their orders.
func (t *trade) run(ctx context.Context) error {
	t.rejected = t.plan.rejected
	if err := t.employ(ctx); err != nil {
		return err
	}
	t.progress.begin("products", len(t.plan.products))
	if err := t.inParallelThenLast(ctx, t.plan.products, t.create); err != nil {
		return err
	}
	t.progress.begin("stock", len(t.plan.products))
	if err := t.inParallelThenLast(ctx, t.plan.products, t.fill); err != nil {
		return err
	}
	orders := 0
	for _, c := range t.plan.customers {
		orders += len(c.orders)
	}
	t.progress.begin("orders", orders)
	defer t.progress.end()
	return inParallel(ctx, t.parallel, t.plan.customers, t.shopFor)
}

// inParallelThenLast handles all products but the last at once, and then the
// last alone: its consistency token covers the others, which were answered
// before it began. What the shop refuses of a product is told and the rest
// goes on; the orders of that product will then be refused and reported.
func (t *trade) inParallelThenLast(ctx context.Context, all []*product, handle func(context.Context, *product) error) error {
	tell := func(ctx context.Context, p *product) error {
		defer t.progress.step()
		err := handle(ctx, p)
		if refusal(err) == nil {
			return err
		}
		t.progress.say("product %s: %v", p.sku, err)
		return nil
	}
	if len(all) == 0 {
		return nil
	}
	if err := inParallel(ctx, t.parallel, all[:len(all)-1], tell); err != nil {
		return err
	}
	return tell(ctx, all[len(all)-1])
}

// refusal is the shop's final no to what is asked, or nil: not that the shop is
// away or broken, nor that it does not know who asks.
func refusal(err error) *client.Problem {
	var p *client.Problem
	if errors.As(err, &p) && p.Status < 500 && p.Status != http.StatusUnauthorized && p.Status != http.StatusTooManyRequests {
		return p
	}
	return nil
}

// outcome notes what became of a part of an order, and reports whether it is
// what the file wants.
func (t *trade) outcome(o *order, lines []line, fate client.Order) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if fate.ID != "" {
		t.placed = append(t.placed, placed{fate.ID, o.invoice})
	}
	if fate.Status == o.wanted() {
		t.used += len(lines)
		return true
	}
	for _, l := range lines {
		t.rejected = append(t.rejected, l.rejected(fmt.Sprintf("was ordered, but the order is %s: %s", fate.Status, fate.CancelReason)))
	}
	return false
}

// outcomeOfCancellation notes what became of the lines that cancel an order.
func (t *trade) outcomeOfCancellation(o *order, whole bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if whole {
		t.used += len(o.cancellation)
		return
	}
	for _, l := range o.cancellation {
		t.rejected = append(t.rejected, l.rejected("cancels an order that did not come about"))
	}
}

// inParallel handles all of a list, at most n at a time, until one fails.
func inParallel[T any](ctx context.Context, n int, all []T, handle func(context.Context, T) error) error {
	ctx, fail := context.WithCancelCause(ctx)
	defer fail(nil)
	next := make(chan T)
	var workers sync.WaitGroup
	for range n {
		workers.Go(func() {
			for one := range next {
				if err := handle(ctx, one); err != nil {
					fail(err)
				}
			}
		})
	}
	for _, one := range all {
		select {
		case next <- one:
			continue
		case <-ctx.Done():
		}
		break
	}
	close(next)
	workers.Wait()
	return context.Cause(ctx)
}
