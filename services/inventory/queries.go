package inventory

import (
	"context"

	"lonja/events"
	"lonja/events/query"
	"lonja/kit/eventlog"
	"lonja/kit/projection"
)

// catalogued finds out whether the catalogue has the product that a command is
// about, be it created a moment ago. What an older program has stocked under a SKU
// that is no product's counts, too, so that it can be put right.
func catalogued[C any](levels *projection.View, of func(C) events.SKU) func(context.Context, C) (known, error) {
	return func(ctx context.Context, c C) (known, error) {
		look := func() (found bool, err error) {
			return levels.Get(ctx, `SELECT 1 FROM levels WHERE sku = ?`, []any{string(of(c))}, new(int))
		}
		found, err := look()
		if err == nil && !found {
			if err = levels.CatchUp(ctx); err == nil {
				found, err = look()
			}
		}
		return known(found), err
	}
}

func findLevel(levels *projection.View) func(context.Context, query.Stock, eventlog.Actor) (any, error) {
	return func(ctx context.Context, q query.Stock, _ eventlog.Actor) (any, error) {
		if err := events.Token("sku", q.SKU); err != nil {
			return nil, err
		}
		level := events.Level{SKU: q.SKU}
		found, err := levels.Get(ctx, `SELECT on_hand, reserved FROM levels WHERE sku = ?`,
			[]any{string(q.SKU)}, &level.OnHand, &level.Reserved)
		if err == nil && !found {
			err = noSuchProduct(q.SKU)
		}
		return query.NewStockView(level), err
	}
}
