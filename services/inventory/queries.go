package inventory

import (
	"context"

	"lonja/events"
	"lonja/events/query"
	"lonja/internal/envelope"
	"lonja/internal/refusal"
	"lonja/internal/view"
)

func findLevel(levels *view.View) func(context.Context, query.Stock, envelope.Actor) (any, error) {
	return func(ctx context.Context, q query.Stock, _ envelope.Actor) (any, error) {
		if err := events.Token("sku", q.SKU); err != nil {
			return nil, err
		}
		level := events.Level{SKU: q.SKU}
		found, err := levels.Get(ctx, `SELECT on_hand, reserved FROM levels WHERE sku = ?`,
			[]any{string(q.SKU)}, &level.OnHand, &level.Reserved)
		if err == nil && !found {
			err = refusal.New(refusal.NotFound, "there is no product %s", q.SKU)
		}
		return query.NewStockView(level), err
	}
}
