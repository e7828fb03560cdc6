package main

import "maps"

// match finds the order that a cancellation cancels; the file does not say
// which. The rule: the latest order of the same customer that stands before
// the cancellation, is not cancelled yet, and has exactly the same pieces of
// exactly the same SKUs. Prices do not matter. The shop cancels whole orders,
// so a cancellation of some of an order's pieces is rejected with that reason.
func (p *plan) match(cancellation *order, by *customer) {
	found, reason := cancelled(cancellation, by)
	if found != nil {
		found.cancellation = cancellation.lines
		return
	}
	for _, l := range cancellation.lines {
		p.rejected = append(p.rejected, l.rejected(reason))
	}
}

func cancelled(cancellation *order, by *customer) (found *order, reason string) {
	reason = cancelNone
	if by == nil {
		return nil, reason
	}
	wanted := cancellation.pieces()
	for _, o := range by.orders {
		if o.cancellation != nil || o.lines[0].number > cancellation.lines[0].number {
			continue
		}
		switch has := o.pieces(); {
		case maps.Equal(has, wanted):
			found = o
		case contains(has, wanted):
			reason = cancelPart
		}
	}
	return found, reason
}

// pieces returns the number of pieces of each SKU in an order or a cancellation.
func (o *order) pieces() map[string]int64 {
	sum := map[string]int64{}
	for _, l := range o.lines {
		sum[l.sku] += max(l.quantity, -l.quantity)
	}
	return sum
}

func contains(all, some map[string]int64) bool {
	for sku, n := range some {
		if all[sku] < n {
			return false
		}
	}
	return true
}
