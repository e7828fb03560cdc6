package audit

import (
	"lonja/events"
	"lonja/kit/eventlog"
)

// ledger is how much there is of everything, at every prefix of the log.
type ledger map[shelf]level

type shelf struct {
	location events.LocationID
	sku      events.SKU
}

type level struct{ onHand, reserved int64 }

func (l ledger) enter(b *books, r eventlog.Record) {
	switch e := r.Event.(type) {
	case events.StockCounted:
		l.set(b, r, shelf{e.Location, e.SKU}, e.Level, e.OnHand)
	case events.StockAdjusted:
		at := shelf{e.Location, e.SKU}
		l.set(b, r, at, e.Level, l[at].onHand+e.Delta)
	case events.StockReserved:
		l.move(b, r, e.Location, e.Lines, level{0, +1})
	case events.StockReleased:
		l.move(b, r, e.Location, e.Lines, level{0, -1})
	case events.StockReturned:
		l.move(b, r, e.Location, e.Lines, level{+1, 0})
	case events.StockCommitted:
		if e.FromAvailable {
			l.move(b, r, e.Location, e.Lines, level{-1, 0})
		} else {
			l.move(b, r, e.Location, e.Lines, level{-1, -1})
		}
	}
}

// set takes the level that an event says, after checking that it is what results.
func (l ledger) set(b *books, r eventlog.Record, at shelf, said events.Level, onHand int64) {
	if said.OnHand != onHand || said.Reserved != l[at].reserved {
		b.wrong(r, Stock, "says %s: %d on hand, %d reserved; the facts before it lead to %d and %d",
			at.sku, said.OnHand, said.Reserved, onHand, l[at].reserved)
	}
	l[at] = level{said.OnHand, said.Reserved}
}

// move moves every line by so much for each piece, and checks where that leads.
func (l ledger) move(b *books, r eventlog.Record, location events.LocationID, lines []events.Quantity, by level) {
	for _, line := range lines {
		at := shelf{location, line.SKU}
		now := l[at]
		now.onHand += by.onHand * line.Quantity
		now.reserved += by.reserved * line.Quantity
		l[at] = now
		if now.onHand < 0 || now.reserved < 0 || now.reserved > now.onHand {
			b.wrong(r, Stock, "leads to %s: %d on hand, %d reserved; expected 0 <= reserved <= on hand", at.sku, now.onHand, now.reserved)
		}
	}
}
