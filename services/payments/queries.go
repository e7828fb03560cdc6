package payments

import (
	"context"

	"lonja/events"
	"lonja/events/query"
	"lonja/kit/eventlog"
	"lonja/kit/projection"
)

func findPayment(paymentsView *projection.View) func(context.Context, query.Payment, eventlog.Actor) (any, error) {
	return func(ctx context.Context, q query.Payment, _ eventlog.Actor) (any, error) {
		if err := events.Token("payment_id", q.PaymentID); err != nil {
			return nil, err
		}
		p := query.PaymentView{ID: q.PaymentID}
		found, err := paymentsView.Get(ctx, `SELECT order_id, provider, status, amount, currency, url FROM payments WHERE id = ?`,
			[]any{string(q.PaymentID)}, &p.OrderID, &p.Provider, &p.Status, &p.Amount.Amount, &p.Amount.Currency, &p.URL)
		if err == nil && !found {
			err = noSuchPayment(q.PaymentID)
		}
		return p, err
	}
}
