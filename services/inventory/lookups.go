package inventory

import (
	"context"
	"time"

	"lonja/events"
	"lonja/kit/decider"
	"lonja/kit/eventlog"
	"lonja/kit/projection"
)

// known reports whether the catalogue has a product. An archived one counts: what is left
// of it can still be counted.
type known bool

// lookUpProduct finds out whether the catalogue has the product that a command is about. It
// returns false only when the view has caught up with the log, so a product that was created
// a moment ago is found. A SKU that an older program stocked without a product counts as
// known, so that its level can be corrected.
func lookUpProduct[C any](stockView *projection.View, sku func(C) events.SKU) func(context.Context, C) (known, error) {
	return func(ctx context.Context, c C) (known, error) {
		find := func() (found bool, err error) {
			return stockView.Get(ctx, `SELECT 1 FROM levels WHERE sku = ?`, []any{string(sku(c))}, new(int))
		}
		found, err := find()
		if err == nil && !found {
			if err = stockView.CatchUp(ctx); err == nil {
				found, err = find()
			}
		}
		return known(found), err
	}
}

// orderLookup finds out how an order stands that the ledger no longer holds: from the
// reservations view or, as far as the view cannot tell, from the log.
type orderLookup struct {
	view  *projection.View
	stock *decider.Decider[*ledger]
	past  *decider.Past
}

func newOrderLookup(view *projection.View, stock *decider.Decider[*ledger]) *orderLookup {
	return &orderLookup{view, stock, stock.Past(string(events.MainLocation), func(r eventlog.Record) string {
		id, _, _ := orderAfter(r.Event)
		return string(id)
	})}
}

// viewWait is how long a decision waits for a view that lags, before the log is read instead.
const viewWait = 250 * time.Millisecond

// lookUpOrder is the lookup of a reaction to an order's event; see service.ReactWith.
func lookUpOrder[E events.OfOrder](l *orderLookup) func(context.Context, E, uint64) (found, error) {
	return func(ctx context.Context, e E, least uint64) (found, error) { return l.find(ctx, e.Order(), least) }
}

// find returns how an order stands, by the events up to the sequence least at least. A view that
// has failed, or is being built, costs time and memory but stops nothing.
func (l *orderLookup) find(ctx context.Context, id events.OrderID, least uint64) (found, error) {
	f := l.inRows(ctx, id, least)
	if l.past.Forget(f.through); f.through >= least {
		return f, nil
	}
	last, through, err := l.past.Find(ctx, string(id), f.through, least)
	if err != nil {
		return found{}, err
	}
	if f.through = through; last == 0 {
		return f, nil
	}
	r, err := l.stock.At(ctx, string(events.MainLocation), last)
	if err != nil {
		return found{}, err
	}
	_, f.order, _ = orderAfter(r.Event)
	f.order.sequence = last
	return f, nil
}

// inRows returns how an order stands by the rows of the view; found.through tells how far these
// go.
func (l *orderLookup) inRows(ctx context.Context, id events.OrderID, least uint64) (f found) {
	wait := viewWait
	if l.past.Active() {
		wait = 0
	}
	ctx, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	home, err := l.stock.Home(ctx, string(events.MainLocation))
	if err != nil {
		return found{}
	}
	var lines string
	through, has, err := l.view.GetThrough(ctx, home, least, `SELECT status, lines, sequence FROM orders WHERE id = ?`,
		[]any{string(id)}, &f.status, &lines, &f.order.sequence)
	if err == nil && has {
		err = parseLines(lines, &f.order)
	}
	if err != nil {
		return found{}
	}
	f.through = through
	return f
}
