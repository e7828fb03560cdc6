// Stock is reserved, committed and released in reactions.go.

package inventory

import (
	"lonja/events"
	"lonja/events/command"
	"lonja/kit/decider"
	"lonja/kit/errs"
	"lonja/kit/eventlog"
)

func count(l *ledger, c command.CountStock, product known, m decider.Meta) (events.Event, error) {
	level, err := l.recount(c.SKU, product, c.OnHand, m.Actor)
	if err != nil || level == l.level(c.SKU) {
		return nil, err
	}
	return events.StockCounted{Location: events.MainLocation, Level: level}, nil
}

func adjust(l *ledger, c command.AdjustStock, product known, m decider.Meta) (events.Event, error) {
	level, err := l.recount(c.SKU, product, l.level(c.SKU).OnHand+c.Delta, m.Actor)
	if err != nil {
		return nil, err
	}
	return events.StockAdjusted{Location: events.MainLocation, Level: level, Delta: c.Delta, Reason: c.Reason}, nil
}

// recount returns a SKU's level with another number of pieces on hand. It is Forbidden to
// anyone but staff, NotFound when the catalogue has no such product, and a Conflict when
// that many cannot be on hand.
func (l *ledger) recount(sku events.SKU, product known, onHand int64, a eventlog.Actor) (events.Level, error) {
	level := l.level(sku)
	if err := a.Require(events.StaffRoles...); err != nil {
		return level, err
	}
	switch {
	case !bool(product):
		return level, noSuchProduct(sku)
	case onHand < level.Reserved:
		return level, errs.New(errs.Conflict, "%d of %s are reserved for orders, so at least that many must be on hand, not %d", level.Reserved, sku, onHand)
	case onHand > events.MaxQuantity:
		return level, errs.New(errs.Conflict, "at most %d of %s can be on hand, not %d", int64(events.MaxQuantity), sku, onHand)
	}
	level.OnHand = onHand
	return level, nil
}

func noSuchProduct(sku events.SKU) error {
	return errs.New(errs.NotFound, "there is no product %s", sku)
}
