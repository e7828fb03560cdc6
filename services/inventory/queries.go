package inventory

import (
	"context"

	"lonja/events"
	"lonja/events/query"
	"lonja/kit/eventlog"
	"lonja/kit/projection"
)

func findStock(stockView *projection.View) func(context.Context, query.Stock, eventlog.Actor) (any, error) {
	return func(ctx context.Context, q query.Stock, _ eventlog.Actor) (any, error) {
		if err := events.Token("sku", q.SKU); err != nil {
			return nil, err
		}
		level := events.Level{SKU: q.SKU}
		found, err := stockView.Get(ctx, `SELECT on_hand, reserved FROM levels WHERE sku = ?`,
			[]any{string(q.SKU)}, &level.OnHand, &level.Reserved)
		if err == nil && !found {
			err = noSuchProduct(q.SKU)
		}
		return query.NewStockView(level), err
	}
}
