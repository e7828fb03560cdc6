package inventory

import (
	"time"

	"lonja/events"
	"lonja/kit/decider"
)

// ledger is the state of a location, on which everything about its stock is decided. It is
// changed in place.
type ledger struct {
	levels map[events.SKU]events.Level
	orders map[events.OrderID]status
	// lines holds what is reserved or committed for an order, since it may have to be
	// given back. Any other order costs only its id.
	lines map[events.OrderID][]events.Quantity
}

// status is an order's status in the ledger.
type status uint8

const (
	unknown   status = iota // no event about it was seen
	reserved                // its lines are reserved
	expired                 // the reservation ran out unpaid; the payment may still come
	committed               // its lines are paid and no longer on hand
	done                    // refused, cancelled or returned: nothing follows
)

var stockType = decider.EntityType[*ledger]{Subject: "events.stock", Stream: "INVENTORY", ReplyFromEvents: true, New: newLedger, Evolve: evolve}

func newLedger() *ledger {
	return &ledger{
		levels: map[events.SKU]events.Level{},
		orders: map[events.OrderID]status{},
		lines:  map[events.OrderID][]events.Quantity{},
	}
}

func evolve(l *ledger, event events.Event, _ time.Time) *ledger {
	switch e := event.(type) {
	case events.StockCounted:
		l.levels[e.SKU] = e.Level
	case events.StockAdjusted:
		l.levels[e.SKU] = e.Level
	case events.StockReserved:
		l.setOrder(e.OrderID, reserved, e.Lines)
	case events.StockCommitted:
		l.setOrder(e.OrderID, committed, e.Lines)
	case events.StockReleased:
		if e.Reason == events.ReleasedExpired {
			l.setOrder(e.OrderID, expired, nil)
		} else {
			l.setOrder(e.OrderID, done, nil)
		}
	case events.StockRefused:
		l.setOrder(e.OrderID, done, nil)
	case events.StockReturned:
		l.setOrder(e.OrderID, done, nil)
	}
	l.applyMoves(event)
	return l
}

// setOrder sets an order's status and keeps its lines; nil keeps none.
func (l *ledger) setOrder(id events.OrderID, s status, lines []events.Quantity) {
	l.orders[id] = s
	if lines == nil {
		delete(l.lines, id)
	} else {
		l.lines[id] = lines
	}
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
