package inventory

import (
	"slices"

	"lonja/events"
	"lonja/kit/decider"
	"lonja/kit/eventlog"
)

// ledger is the state of a location, on which everything about its stock is decided. It is
// changed in place.
//
// It holds every open reservation, but only the newest of the orders that are not reserved, so it
// does not grow with them. What it no longer holds is in the rows of the reservations view; see
// found.
type ledger struct {
	keeps  int // how many orders that are not reserved it holds at most
	levels map[events.SKU]events.Level
	orders map[events.OrderID]order
	// settled are the newest events after which an order was not reserved, oldest first.
	settled []settledOrder
	// floor is the sequence of the last event about any order that is not in orders; 0 when every
	// order is.
	floor uint64
}

// settledOrder is an order and the event after which it was not reserved. The order may have
// later events.
type settledOrder struct {
	ID       events.OrderID
	Sequence uint64
}

// keptOrders is how many orders that are not reserved a ledger holds at most. The view may lag by as
// many before decisions have to wait for it.
const keptOrders = 4096

// status is an order's status in the ledger. Rows and snapshots hold the number, so it must not
// change.
type status uint8

const (
	unknown   status = iota // no event about it was seen
	reserved                // its lines are reserved
	expired                 // the reservation ran out unpaid; the payment may still come
	committed               // its lines are paid and no longer on hand
	done                    // refused, cancelled or returned: nothing follows
)

// stockTypeOf returns the entity type of ledgers that keep so many orders.
func stockTypeOf(keeps int) decider.EntityType[*ledger] {
	return decider.EntityType[*ledger]{Subject: "events.stock", Stream: "INVENTORY", ReplyFromEvents: true,
		New:          func() *ledger { return newLedger(keeps) },
		EvolveRecord: func(l *ledger, r eventlog.Record) *ledger { return evolve(l, r.Event, r.Sequence) },
		Snapshot:     ledgerSnapshot(keeps)}
}

func newLedger(keeps int) *ledger {
	return &ledger{keeps: keeps, levels: map[events.SKU]events.Level{}, orders: map[events.OrderID]order{}}
}

// evolve is what snapshots rest on: see TestLedger_GoldenFold before changing it.
func evolve(l *ledger, event events.Event, sequence uint64) *ledger {
	switch e := event.(type) {
	case events.StockCounted:
		l.levels[e.SKU] = e.Level
	case events.StockAdjusted:
		l.levels[e.SKU] = e.Level
	}
	if id, o, ok := orderAfter(event); ok {
		o.sequence = sequence
		l.setOrder(id, o)
	}
	l.applyMoves(event)
	return l
}

// order is an order as it stands in the ledger.
type order struct {
	status status
	lines  []events.Quantity // that are reserved or committed; nil when nothing is to be given back
	// restocked are the refunds with which pieces came back, of an order that is committed.
	restocked []events.RefundID
	// sequence is that of the order's last event. The rows have it, too.
	sequence uint64
}

// orderAfter returns what an event makes of an order; ok is false for an event about none. The
// ledger and the reservations view both use it, so they cannot disagree.
func orderAfter(event events.Event) (id events.OrderID, o order, ok bool) {
	switch e := event.(type) {
	case events.StockReserved:
		return e.OrderID, order{status: reserved, lines: e.Lines}, true
	case events.StockCommitted:
		return e.OrderID, order{status: committed, lines: e.Lines}, true
	case events.StockReleased:
		if e.Reason == events.ReleasedExpired {
			return e.OrderID, order{status: expired}, true
		}
		return e.OrderID, order{status: done}, true
	case events.StockRefused:
		return e.OrderID, order{status: done}, true
	case events.StockReturned:
		return e.OrderID, order{status: done}, true
	case events.StockRestocked:
		return e.OrderID, order{status: committed, lines: e.Kept, restocked: append(slices.Clone(e.Earlier), e.RefundID)}, true
	}
	return "", order{}, false
}

// setOrder sets an order, and forgets the one that was settled longest ago if there are too many.
func (l *ledger) setOrder(id events.OrderID, o order) {
	l.orders[id] = o
	if o.status == reserved {
		return
	}
	l.settled = append(l.settled, settledOrder{id, o.sequence})
	if len(l.settled) <= l.keeps {
		return
	}
	oldest := l.settled[0]
	l.settled = l.settled[1:]
	if l.orders[oldest.ID].sequence == oldest.Sequence { // otherwise it comes again later
		delete(l.orders, oldest.ID)
		l.floor = oldest.Sequence
	}
}

// found is what was looked up about an order that the ledger may not hold any more: the order as
// it stood, and the sequence of the events up to which that is certain. The zero value says that
// no event was looked at.
type found struct {
	order
	through uint64
}

// order returns an order as it stands. The error is decider.NeedsLookup if neither the ledger nor
// what was found tells.
func (l *ledger) order(id events.OrderID, f found) (order, error) {
	if o, ok := l.orders[id]; ok {
		return o, nil
	}
	if f.through < l.floor {
		return order{}, &decider.NeedsLookup{Through: l.floor}
	}
	return f.order, nil
}

func (l *ledger) applyMoves(event events.Event) {
	lines, onHand, reserved := moves(event)
	for _, line := range lines {
		level := l.level(line.SKU)
		level.OnHand += onHand * line.Quantity
		level.Reserved += reserved * line.Quantity
		l.levels[line.SKU] = level
	}
}

// moves returns the lines whose levels an event changes, and the change for each piece: in
// what is on hand, and in what is reserved. The ledger and the view both use it, so they
// cannot disagree.
func moves(event events.Event) (lines []events.Quantity, onHand, reserved int64) {
	switch e := event.(type) {
	case events.StockReserved:
		return e.Lines, 0, +1
	case events.StockReleased:
		return e.Lines, 0, -1
	case events.StockCommitted:
		if e.FromAvailable {
			return e.Lines, -1, 0
		}
		return e.Lines, -1, -1
	case events.StockReturned:
		return e.Lines, +1, 0
	case events.StockRestocked:
		return e.Lines, +1, 0
	}
	return nil, 0, 0
}

// level returns a SKU's level: zeros for one that has no events.
func (l *ledger) level(sku events.SKU) events.Level {
	level := l.levels[sku]
	level.SKU = sku
	return level
}

// shortages returns the lines that exceed what is available, nil when none does. Each SKU
// must be in one line only; see events.PerSKU.
func (l *ledger) shortages(lines []events.Quantity) (short []events.Shortage) {
	for _, line := range lines {
		if available := l.level(line.SKU).Available(); line.Quantity > available {
			short = append(short, events.Shortage{SKU: line.SKU, Wanted: line.Quantity, Available: available})
		}
	}
	return short
}
