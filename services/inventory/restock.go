package inventory

import (
	"slices"

	"lonja/events"
	"lonja/kit/decider"
	"lonja/kit/errs"
)

// restock takes refunded pieces back, once for each refund. Its event carries all that is then true of the
// order, so that the last event about an order is still all that has to be known of it.
func restock(l *ledger, e events.OrderRefundRequested, f found, _ decider.Meta) (events.Event, error) {
	wanted := e.Restocked()
	if len(wanted) == 0 {
		return nil, nil
	}
	o, err := l.order(e.OrderID, f)
	if err != nil {
		return nil, err
	}
	switch {
	case o.status == done || slices.Contains(o.restocked, e.RefundID):
		return nil, nil // cancelled: all of it came back
	case o.status != committed:
		// The order is paid, so its goods will be committed, or refused.
		return nil, errs.New(errs.Unavailable, "the goods of order %s are not committed yet", e.OrderID)
	}
	back, kept := take(wanted, o.lines)
	if len(back) == 0 {
		return nil, nil
	}
	return events.StockRestocked{Location: events.MainLocation, OrderID: e.OrderID, RefundID: e.RefundID, Lines: back, Kept: kept, Earlier: o.restocked}, nil
}

// take divides lines into what is wanted of them and the rest.
func take(wanted, lines []events.Quantity) (taken, rest []events.Quantity) {
	for _, line := range lines {
		n := int64(0)
		for _, w := range wanted {
			if w.SKU == line.SKU {
				n = min(w.Quantity, line.Quantity)
			}
		}
		if n > 0 {
			taken = append(taken, events.Quantity{SKU: line.SKU, Quantity: n})
		}
		if line.Quantity > n {
			rest = append(rest, events.Quantity{SKU: line.SKU, Quantity: line.Quantity - n})
		}
	}
	return taken, rest
}
