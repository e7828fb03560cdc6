package inventory

import (
	"time"

	"lonja/events"
	"lonja/kit/decider"
)

// An order's events may arrive in any order and more than once. The first one sets the
// order's status in the ledger, and an event that does not fit the status changes nothing.

// reserve reserves all lines of a placed order for a time, or refuses the order.
func reserve(ttl time.Duration) func(*ledger, events.OrderPlaced, decider.Meta) (events.Event, error) {
	return func(l *ledger, e events.OrderPlaced, m decider.Meta) (events.Event, error) {
		if l.orders[e.OrderID] != unknown {
			return nil, nil
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
func commit(l *ledger, e events.OrderPaid, _ decider.Meta) (events.Event, error) {
	switch l.orders[e.OrderID] {
	case reserved:
		return events.StockCommitted{Location: events.MainLocation, OrderID: e.OrderID, Lines: l.lines[e.OrderID]}, nil
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
func release(l *ledger, e events.OrderCancelled, _ decider.Meta) (events.Event, error) {
	switch s := l.orders[e.OrderID]; {
	case s == committed:
		return events.StockReturned{Location: events.MainLocation, OrderID: e.OrderID, Lines: l.lines[e.OrderID]}, nil
	case s == reserved, s == unknown, s == expired && e.WasPaid:
		return releaseLines(l, e.OrderID, events.ReleasedCancelled), nil
	}
	return nil, nil
}

// expire ends a reservation that is still unpaid when its reminder comes.
func expire(l *ledger, e events.StockReserved, _ decider.Meta) (events.Event, error) {
	if l.orders[e.OrderID] != reserved {
		return nil, nil
	}
	return releaseLines(l, e.OrderID, events.ReleasedExpired), nil
}

// releaseLines returns the event that releases an order's lines, which may be none.
func releaseLines(l *ledger, id events.OrderID, reason string) events.Event {
	lines := append([]events.Quantity{}, l.lines[id]...)
	return events.StockReleased{Location: events.MainLocation, OrderID: id, Lines: lines, Reason: reason}
}

func refuse(id events.OrderID, short []events.Shortage) events.Event {
	return events.StockRefused{Location: events.MainLocation, OrderID: id, Shortages: short}
}
