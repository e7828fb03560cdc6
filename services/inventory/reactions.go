package inventory

import (
	"time"

	"lonja/events"
	"lonja/kit/decider"
)

// An order's events may arrive in any order and more than once. The first one sets the
// order's status in the ledger, and an event that does not fit the status changes nothing. So
// every decision here is idempotent by itself.

// reserve reserves all lines of a placed order for a time, or refuses the order.
func reserve(ttl time.Duration) func(*ledger, events.OrderPlaced, found, decider.Meta) (events.Event, error) {
	return func(l *ledger, e events.OrderPlaced, f found, m decider.Meta) (events.Event, error) {
		o, err := l.order(e.OrderID, f)
		if err != nil || o.status != unknown {
			return nil, err
		}
		lines := events.PerSKU(events.LinesOf(e.Items))
		if short := l.shortages(lines); short != nil {
			return refuse(e.OrderID, short), nil
		}
		return events.StockReserved{
			Location: events.MainLocation, OrderID: e.OrderID, Lines: lines, ExpiresAt: m.Now.Add(ttl)}, nil
	}
}

// commit takes a paid order's lines off what is on hand. The payment may come after the
// reservation has expired, or before order.placed: then the lines are taken from what is
// available, or the order is refused, which cancels it.
func commit(l *ledger, e events.OrderPaid, f found, _ decider.Meta) (events.Event, error) {
	o, err := l.order(e.OrderID, f)
	if err != nil {
		return nil, err
	}
	switch o.status {
	case reserved:
		return events.StockCommitted{Location: events.MainLocation, OrderID: e.OrderID, Lines: o.lines}, nil
	case unknown, expired:
		lines := events.PerSKU(e.Lines)
		if short := l.shortages(lines); short != nil {
			return refuse(e.OrderID, short), nil
		}
		return events.StockCommitted{Location: events.MainLocation, OrderID: e.OrderID, Lines: lines, FromAvailable: true}, nil
	}
	return nil, nil
}

// release undoes what was done for an order that is cancelled. When nothing was done yet,
// but order.placed or order.paid may still arrive, it records the release all the same, so
// that they change nothing.
func release(l *ledger, e events.OrderCancelled, f found, _ decider.Meta) (events.Event, error) {
	o, err := l.order(e.OrderID, f)
	if err != nil {
		return nil, err
	}
	switch s := o.status; {
	case s == committed && len(o.lines) == 0: // all of it came back with refunds
		return nil, nil
	case s == committed:
		return events.StockReturned{Location: events.MainLocation, OrderID: e.OrderID, Lines: o.lines}, nil
	case s == reserved, s == unknown, s == expired && e.WasPaid:
		return releaseLines(e.OrderID, o, events.ReleasedCancelled), nil
	}
	return nil, nil
}

// expire ends a reservation that is still unpaid when it runs out. The ledger holds every open
// reservation, so nothing needs to be looked up.
func expire(l *ledger, e events.StockReserved, _ decider.Meta) (events.Event, error) {
	o := l.orders[e.OrderID]
	if o.status != reserved {
		return nil, nil
	}
	return releaseLines(e.OrderID, o, events.ReleasedExpired), nil
}

// releaseLines returns the event that releases an order's lines, which may be none.
func releaseLines(id events.OrderID, o order, reason string) events.Event {
	lines := append([]events.Quantity{}, o.lines...)
	return events.StockReleased{Location: events.MainLocation, OrderID: id, Lines: lines, Reason: reason}
}

func refuse(id events.OrderID, short []events.Shortage) events.Event {
	return events.StockRefused{Location: events.MainLocation, OrderID: id, Shortages: short}
}
