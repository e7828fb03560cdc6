package inventory

import (
	"time"

	"lonja/events"
	"lonja/kit/decider"
)

// ledger is the state of a location, which decisions about its stock are made
// on. It is evolved in place.
type ledger struct {
	levels map[events.SKU]events.Level
	orders map[events.OrderID]status
	// lines are those of the orders that are reserved or committed, since they
	// may have to be given back. All other orders cost no more than their id.
	lines map[events.OrderID][]events.Quantity
}

// status is how an order stands in the ledger.
type status uint8

const (
	unknown   status = iota
	reserved         // its lines are set aside
	expired          // they were, and nobody paid in time; money may still come
	committed        // its lines are paid and no longer on hand
	done             // refused, cancelled or returned: nothing follows
)

var stockKind = decider.EntityType[*ledger]{Subject: "events.stock", Stream: "INVENTORY", ReplyFromEvents: true, New: newLedger, Evolve: evolve}

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
		l.enter(e.OrderID, reserved, e.Lines)
	case events.StockCommitted:
		l.enter(e.OrderID, committed, e.Lines)
	case events.StockReleased:
		if e.Reason == events.ReleasedExpired {
			l.enter(e.OrderID, expired, nil)
		} else {
			l.enter(e.OrderID, done, nil)
		}
	case events.StockRefused:
		l.enter(e.OrderID, done, nil)
	case events.StockReturned:
		l.enter(e.OrderID, done, nil)
	}
	l.move(event)
	return l
}

// enter notes how an order stands. Without lines none are kept.
func (l *ledger) enter(id events.OrderID, s status, lines []events.Quantity) {
	l.orders[id] = s
	if lines == nil {
		delete(l.lines, id)
	} else {
		l.lines[id] = lines
	}
}

func (l *ledger) move(event events.Event) {
	lines, onHand, reserved := moves(event)
	for _, line := range lines {
		level := l.level(line.SKU)
		level.OnHand += onHand * line.Quantity
		level.Reserved += reserved * line.Quantity
		l.levels[line.SKU] = level
	}
}

// moves is what an event does to the levels of its lines: for every piece so
// many more on hand, and so many more reserved. The ledger and the view both
// follow it, so they cannot disagree.
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

// level is how much there is of a SKU, which may never have been heard of.
func (l *ledger) level(sku events.SKU) events.Level {
	level := l.levels[sku]
	level.SKU = sku
	return level
}

// shortages are the lines that cannot be had, nil when all can. Each SKU must
// stand in one line only.
func (l *ledger) shortages(lines []events.Quantity) (short []events.Shortage) {
	for _, line := range lines {
		if available := l.level(line.SKU).Available(); line.Quantity > available {
			short = append(short, events.Shortage{SKU: line.SKU, Wanted: line.Quantity, Available: available})
		}
	}
	return short
}
