package audit

import (
	"lonja/events"
	"lonja/kit/eventlog"
)

// ledger holds the stock levels that the events so far lead to.
type ledger map[stockKey]level

type stockKey struct {
	location events.LocationID
	sku      events.SKU
}

type level struct{ onHand, reserved int64 }

func (l ledger) apply(m *model, r eventlog.Record) {
	switch e := r.Event.(type) {
	case events.StockCounted:
		l.set(m, r, stockKey{e.Location, e.SKU}, e.Level, e.OnHand)
	case events.StockAdjusted:
		at := stockKey{e.Location, e.SKU}
		l.set(m, r, at, e.Level, l[at].onHand+e.Delta)
	case events.StockReserved:
		l.move(m, r, e.Location, e.Lines, level{0, +1})
	case events.StockReleased:
		l.move(m, r, e.Location, e.Lines, level{0, -1})
	case events.StockReturned:
		l.move(m, r, e.Location, e.Lines, level{+1, 0})
	case events.StockRestocked:
		l.move(m, r, e.Location, e.Lines, level{+1, 0})
	case events.StockCommitted:
		if e.FromAvailable {
			l.move(m, r, e.Location, e.Lines, level{-1, 0})
		} else {
			l.move(m, r, e.Location, e.Lines, level{-1, -1})
		}
	}
}

// set replaces a level with the one that an event records, after checking that it
// is the one that the events lead to.
func (l ledger) set(m *model, r eventlog.Record, at stockKey, recorded events.Level, onHand int64) {
	if recorded.OnHand != onHand || recorded.Reserved != l[at].reserved {
		m.violateAt(r, Stock, "records %s: %d on hand, %d reserved; the events before it lead to %d and %d",
			at.sku, recorded.OnHand, recorded.Reserved, onHand, l[at].reserved)
	}
	l[at] = level{recorded.OnHand, recorded.Reserved}
}

// move changes the level of every line by the given amount for each piece, and
// checks the result.
func (l ledger) move(m *model, r eventlog.Record, location events.LocationID, lines []events.Quantity, by level) {
	for _, line := range lines {
		at := stockKey{location, line.SKU}
		now := l[at]
		now.onHand += by.onHand * line.Quantity
		now.reserved += by.reserved * line.Quantity
		l[at] = now
		if now.onHand < 0 || now.reserved < 0 || now.reserved > now.onHand {
			m.violateAt(r, Stock, "leads to %s: %d on hand, %d reserved; expected 0 <= reserved <= on hand", at.sku, now.onHand, now.reserved)
		}
	}
}
