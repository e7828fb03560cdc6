package payments

import (
	"context"
	"encoding/json"
	"math"
	"time"

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
		found, err := paymentsView.Get(ctx, `SELECT order_id, provider, status, amount, currency, url, iif(status = 'pending', failed, '') FROM payments WHERE id = ?`,
			[]any{string(q.PaymentID)}, &p.OrderID, &p.Provider, &p.Status, &p.Amount.Amount, &p.Amount.Currency, &p.URL, &p.Failed)
		if err == nil && !found {
			err = noSuchPayment(q.PaymentID)
		}
		return p, err
	}
}

// listFlagged lists what a person has to look at, newest first.
func listFlagged(paymentsView *projection.View) func(context.Context, query.FlaggedPayments, eventlog.Actor) (any, error) {
	return func(ctx context.Context, q query.FlaggedPayments, a eventlog.Actor) (any, error) {
		if err := a.Require(events.StaffRoles...); err != nil {
			return nil, err
		}
		page, err := query.SectionOf[int64](q.Page, "payments.flagged")
		if err != nil {
			return nil, err
		}
		var total int
		if _, err := paymentsView.Get(ctx, `SELECT count(*) FROM (SELECT 1 FROM flags LIMIT ?)`, []any{query.CountAtMost}, &total); err != nil {
			return nil, err
		}
		before := int64(math.MaxInt64)
		if page.Begins != nil {
			before = *page.Begins
		}
		flags, last, more, err := readFlags(ctx, paymentsView, before, page.Limit, page.Offset)
		return query.NewList(flags, total, page, page.Next(last, more)), err
	}
}

// readFlags reads the flags before a number. Last is the number of the last one.
func readFlags(ctx context.Context, paymentsView *projection.View, before int64, limit, offset int) (flags []json.RawMessage, last int64, more bool, err error) {
	err = paymentsView.Each(ctx, `SELECT f.number, f.payment, f.attempt, f.reason, f.detail, f.time,
			ifnull(p.order_id, ''), ifnull(p.provider, ''), ifnull(p.status, ''), ifnull(p.amount, 0), ifnull(p.currency, '')
		FROM (SELECT * FROM flags WHERE number < ? ORDER BY number DESC LIMIT ? OFFSET ?) f LEFT JOIN payments p ON p.id = f.payment ORDER BY f.number DESC`,
		[]any{before, limit + 1, offset}, func(scan func(...any) error) error {
			var number, at int64
			var amount events.Money
			var f query.PaymentFlag
			if err := scan(&number, &f.PaymentID, &f.Attempt, &f.Reason, &f.Detail, &at, &f.OrderID, &f.Provider, &f.Status, &amount.Amount, &amount.Currency); err != nil {
				return err
			}
			if len(flags) == limit {
				more = true
				return nil
			}
			if f.Time = time.UnixMicro(at).UTC(); f.Status != "" {
				f.Amount = &amount
			}
			body, err := json.Marshal(f)
			flags, last = append(flags, body), number
			return err
		})
	return flags, last, more, err
}
