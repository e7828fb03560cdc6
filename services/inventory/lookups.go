package inventory

import (
	"context"

	"lonja/events"
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
