package main

import (
	"context"
	"fmt"
	"sync"
	"time"

	"lonja/client"
)

// totals are the totals of the file or of the shop. They are comparable with ==.
type totals struct {
	Paid, Cancelled, Other sum   // orders
	OnHand, Reserved       int64 // pieces of the file's SKUs
}

type sum struct{ Orders, Pence int64 }

func (s *sum) add(pence int64) { s.Orders, s.Pence = s.Orders+1, s.Pence+pence }

// expectedStatus returns the final status of an order in the file.
func (o *order) expectedStatus() client.OrderStatus {
	if o.cancellation != nil {
		return client.Cancelled
	}
	return client.Paid
}

// expected returns the totals of the file at the shop's prices.
func (p *plan) expected() totals {
	var t totals
	price := map[string]int64{}
	for _, item := range p.products {
		price[item.sku] = item.price
		t.OnHand += item.initial.OnHand - item.ordered + item.returned
		t.Reserved += item.initial.Reserved
	}
	for _, c := range p.customers {
		for _, o := range c.orders {
			for _, lines := range o.parts() {
				var pence int64
				for _, l := range lines {
					pence += l.quantity * price[l.sku]
				}
				t.of(o.expectedStatus()).add(pence)
			}
		}
	}
	return t
}

func (t *totals) of(status client.OrderStatus) *sum {
	switch status {
	case client.Paid:
		return &t.Paid
	case client.Cancelled:
		return &t.Cancelled
	}
	return &t.Other
}

// atFilePrices returns the total of the orders at the file's prices.
func (p *plan) atFilePrices() (pence int64) {
	for _, c := range p.customers {
		for _, o := range c.orders {
			for _, l := range o.lines {
				pence += l.quantity * l.price
			}
		}
	}
	return pence
}

// readBack reads the shop's totals until they are as wanted, for patience at most,
// because the stock of a paid order is committed a moment after the payment.
func (t *importer) readBack(ctx context.Context, wanted totals, patience time.Duration) (found totals, others int, err error) {
	for giveUp := time.Now().Add(patience); ; {
		found, others, err = t.readOnce(ctx)
		if err != nil || found == wanted || time.Now().After(giveUp) {
			return found, others, err
		}
		if err := sleep(ctx, 500*time.Millisecond); err != nil {
			return found, others, err
		}
	}
}

// readOnce reads this file's orders and stock. others is how many more orders
// the shop has.
func (t *importer) readOnce(ctx context.Context) (found totals, others int, err error) {
	all, err := t.allOrders(ctx)
	if err != nil {
		return found, 0, err
	}
	for _, p := range t.placed {
		o, ok := all[p.id]
		if !ok {
			t.progress.print("invoice %s: the shop does not list order %s", p.invoice, p.id)
			continue
		}
		found.of(o.Status).add(o.Total.Amount)
	}
	var mu sync.Mutex
	err = inParallel(ctx, t.parallel, t.plan.products, func(ctx context.Context, p *product) error {
		level, err := t.staff.GetStock(ctx, p.sku)
		if err != nil {
			return fmt.Errorf("stock of %s: %w", p.sku, err)
		}
		mu.Lock()
		defer mu.Unlock()
		found.OnHand += level.OnHand
		found.Reserved += level.Reserved
		return nil
	})
	return found, len(all) - len(t.placed), err
}
