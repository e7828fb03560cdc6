package inventory

import (
	"time"

	"lonja/events"
	"lonja/kit/decider"
)

// An order's events may arrive in any order and more than once. Whatever comes
// first leaves its mark in the ledger, and what no longer fits is left.

// reserve sets every line of a placed order aside for a time, or none.
func reserve(ttl time.Duration) func(*ledger, events.OrderPlaced, decider.Meta) (events.Event, error) {
	return func(l *ledger, e events.OrderPlaced, m decider.Meta) (events.Event, error) {
		if l.orders[e.OrderID] != unknown {
			return nil, nil
		}
		lines := events.PerSKU(events.LinesOf(e.Items))
		if short := l.shortages(lines); short != nil {
			return refused(e.OrderID, short), nil
		}
		return events.StockReserved{
			Location: events.MainLocation, OrderID: e.OrderID, Lines: lines, ExpiresAt: m.Now.Add(ttl)}, nil
	}
}

// commit takes a paid order's lines off what is on hand. Money may come after
// the reservation has expired: then what is still there is taken, or the order
// is refused, which cancels it.
func commit(l *ledger, e events.OrderPaid, _ decider.Meta) (events.Event, error) {
	switch l.orders[e.OrderID] {
	case reserved:
		return events.StockCommitted{Location: events.MainLocation, OrderID: e.OrderID, Lines: l.lines[e.OrderID]}, nil
	case unknown, expired:
		lines := events.PerSKU(e.Lines)
		if short := l.shortages(lines); short != nil {
			return refused(e.OrderID, short), nil
		}
		return events.StockCommitted{Location: events.MainLocation, OrderID: e.OrderID, Lines: lines, FromAvailable: true}, nil
	}
	return nil, nil
}

// giveBack undoes what was done for an order that is cancelled. Where nothing
// was, but placed or paid may still arrive, it records that nothing will be.
func giveBack(l *ledger, e events.OrderCancelled, _ decider.Meta) (events.Event, error) {
	switch s := l.orders[e.OrderID]; {
	case s == committed:
		return events.StockReturned{Location: events.MainLocation, OrderID: e.OrderID, Lines: l.lines[e.OrderID]}, nil
	case s == reserved, s == unknown, s == expired && e.WasPaid:
		return released(l, e.OrderID, events.ReleasedCancelled), nil
	}
	return nil, nil
}

// expire ends a reservation that nobody paid, when its reminder comes.
func expire(l *ledger, e events.StockReserved, _ decider.Meta) (events.Event, error) {
	if l.orders[e.OrderID] != reserved {
		return nil, nil
	}
	return released(l, e.OrderID, events.ReleasedExpired), nil
}

// released gives back what is set aside for an order, which may be nothing.
func released(l *ledger, id events.OrderID, reason string) events.Event {
	lines := append([]events.Quantity{}, l.lines[id]...)
	return events.StockReleased{Location: events.MainLocation, OrderID: id, Lines: lines, Reason: reason}
}

func refused(id events.OrderID, short []events.Shortage) events.Event {
	return events.StockRefused{Location: events.MainLocation, OrderID: id, Shortages: short}
}
