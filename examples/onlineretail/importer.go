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

// importer imports a plan into the shop.
type importer struct {
	shop         *client.Client // without an account
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

// placed is an order, or a part of one, that the shop accepted.
type placed struct {
	id, invoice string
}

// run imports the plan: first the products, then their stock, then the customers
// with their orders.
func (t *importer) run(ctx context.Context) error {
	t.rejected = t.plan.rejected
	if err := t.prepareStaff(ctx); err != nil {
		return err
	}
	t.progress.begin("products", len(t.plan.products))
	if err := t.inParallelThenLast(ctx, t.plan.products, t.createProduct); err != nil {
		return err
	}
	t.progress.begin("stock", len(t.plan.products))
	if err := t.inParallelThenLast(ctx, t.plan.products, t.addStock); err != nil {
		return err
	}
	orders := 0
	for _, c := range t.plan.customers {
		orders += len(c.orders)
	}
	t.progress.begin("orders", orders)
	defer t.progress.end()
	return inParallel(ctx, t.parallel, t.plan.customers, t.placeOrders)
}

// inParallelThenLast handles all products but the last in parallel, and then the
// last one alone, so that its consistency token covers the others. It prints a
// rejection and continues; the orders of that product are then rejected too.
func (t *importer) inParallelThenLast(ctx context.Context, all []*product, handle func(context.Context, *product) error) error {
	report := func(ctx context.Context, p *product) error {
		defer t.progress.step()
		err := handle(ctx, p)
		if rejection(err) == nil {
			return err
		}
		t.progress.print("product %s: %v", p.sku, err)
		return nil
	}
	if len(all) == 0 {
		return nil
	}
	if err := inParallel(ctx, t.parallel, all[:len(all)-1], report); err != nil {
		return err
	}
	return report(ctx, all[len(all)-1])
}

// rejection returns the problem if the shop finally rejected the request. It returns
// nil for other errors: the shop is not available, asks to retry later, or did not
// authenticate the client.
func rejection(err error) *client.Problem {
	var p *client.Problem
	if errors.As(err, &p) && p.Status < 500 && p.Status != http.StatusUnauthorized && p.Status != http.StatusTooManyRequests {
		return p
	}
	return nil
}

// outcome notes what became of a part of an order, and reports whether it is
// what the file wants.
func (t *importer) outcome(o *order, lines []line, result client.Order) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if result.ID != "" {
		t.placed = append(t.placed, placed{result.ID, o.invoice})
	}
	if result.Status == o.expectedStatus() {
		t.used += len(lines)
		return true
	}
	for _, l := range lines {
		t.rejected = append(t.rejected, l.rejected(fmt.Sprintf("was ordered, but the order was %s: %s", result.Status, result.CancelReason)))
	}
	return false
}

// outcomeOfCancellation notes what became of the lines that cancel an order.
func (t *importer) outcomeOfCancellation(o *order, whole bool) {
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

// inParallel calls handle for all of a list, at most n at a time, until one fails.
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
