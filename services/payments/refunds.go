package payments

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"

	"lonja/events"
	"lonja/kit/decider"
	"lonja/kit/errs"
	"lonja/kit/eventlog"
	"lonja/kit/projection"
	"lonja/kit/service"
)

// Money goes back in two steps. payment.refund_requested sets the amount aside, so that nobody else
// gives back the same money. Then an effect asks the provider, and records what came of it.

// refund is money that goes back, or did.
type refund struct {
	id     events.RefundID
	amount events.Money
	status refundStatus
	// refusals counts how often the provider refused it for good. A call after that is another one, and
	// needs another key; a call after no answer must have the same key.
	refusals int
}

type refundStatus uint8

const (
	refundAsked  refundStatus = iota // the provider is asked, or will be
	refundDone                       // the money went back
	refundFailed                     // it did not, and the amount is free again
)

// evolveRefunds returns the refunds after an event. It leaves the slice that it is given as it is.
func evolveRefunds(all []refund, event events.Event) []refund {
	switch e := event.(type) {
	case events.PaymentRefundRequested:
		return withRefund(all, e.RefundID, func(r *refund) { r.amount, r.status = e.Amount, refundAsked })
	case events.PaymentRefunded: // one of an earlier version has no id
		if e.Again {
			return all // what came a second time goes back as it came
		}
		return withRefund(all, cmp.Or(e.RefundID, events.RefundFor(e.OrderID, 1)), func(r *refund) { r.amount, r.status = e.Amount, refundDone })
	case events.PaymentRefundFailed:
		return withRefund(all, e.RefundID, func(r *refund) {
			r.amount, r.status = e.Amount, refundFailed
			if !e.Unknown {
				r.refusals++
			}
		})
	}
	return all
}

func withRefund(all []refund, id events.RefundID, change func(*refund)) []refund {
	all = slices.Clone(all)
	i := slices.IndexFunc(all, func(r refund) bool { return r.id == id })
	if i < 0 {
		i, all = len(all), append(all, refund{id: id})
	}
	change(&all[i])
	return all
}

// refund returns the refund with an id; known is false if there is none.
func (p payment) refund(id events.RefundID) (r refund, known bool) {
	for _, r := range p.refunds {
		if r.id == id {
			return r, true
		}
	}
	return refund{}, false
}

// left returns what of the captured money is neither given back nor set aside for that.
func (p payment) left() events.Money {
	left := p.captured
	for _, r := range p.refunds {
		if r.status != refundFailed {
			left.Amount -= r.amount.Amount
		}
	}
	return left
}

// kept returns what of the captured money has not gone back.
func (p payment) kept() int64 {
	kept := p.captured.Amount
	for _, r := range p.refunds {
		if r.status == refundDone {
			kept -= r.amount.Amount
		}
	}
	return kept
}

// refundUpTo returns the event that gives back so much of what is left, nil if nothing is left.
func (p payment) refundUpTo(amount int64) events.Event {
	left := p.left()
	if left.Amount = min(left.Amount, amount); left.Amount <= 0 {
		return nil
	}
	n := 1
	for ; ; n++ {
		if _, taken := p.refund(events.RefundFor(p.request.OrderID, n)); !taken {
			break
		}
	}
	return events.PaymentRefundRequested{PaymentID: p.request.PaymentID, OrderID: p.request.OrderID,
		RefundID: events.RefundFor(p.request.OrderID, n), Amount: left}
}

// refundPart sets aside what staff give back. A cancellation may have been faster, which gives back all
// that is left: then the refund fails at once. The event of a refund that failed before asks again.
func refundPart(p payment, e events.OrderRefundRequested, _ decider.Meta) (events.Event, error) {
	if p.captured.Amount == 0 {
		return nil, errs.New(errs.Conflict, "no money was captured for order %s, so %s cannot be refunded", e.OrderID, e.Amount)
	}
	if r, known := p.refund(e.RefundID); known && r.status != refundFailed {
		return nil, nil
	}
	id := p.request.PaymentID
	if left := p.left(); e.Amount.Currency != left.Currency || e.Amount.Amount > left.Amount {
		return events.PaymentRefundFailed{PaymentID: id, OrderID: e.OrderID, RefundID: e.RefundID, Amount: e.Amount,
			Detail: fmt.Sprintf("of the payment's %s, %s are left to refund", p.captured, left)}, nil
	}
	return events.PaymentRefundRequested{PaymentID: id, OrderID: e.OrderID, RefundID: e.RefundID, Amount: e.Amount}, nil
}

// The refunds view holds the refunds that wait for their provider. Due is since when, in microseconds
// since 1970, and requested the number of payment.refund_requested.
var refundsDefinition = projection.Definition{
	Name: "refunds",
	Schema: `
CREATE TABLE pending (
	payment_id TEXT NOT NULL,
	refund_id  TEXT NOT NULL,
	due        INTEGER NOT NULL,
	requested  INTEGER NOT NULL,
	PRIMARY KEY (payment_id, refund_id)
) WITHOUT ROWID;
CREATE INDEX due ON pending (due, requested);`,
	Reads: []projection.Source{{Stream: "PAYMENTS", Subjects: []string{
		"events.payment.*.refund_requested", "events.payment.*.refund_failed", "events.payment.*.refunded"}}},
	Project: projectRefund,
}

// pendingRefunds selects the refunds that the provider is to be asked for; see service.Effect.
const pendingRefunds = `SELECT due, requested FROM pending WHERE (due, requested) > (?1, ?2) ORDER BY due, requested LIMIT ?3`

func projectRefund(tx *projection.Tx, r eventlog.Record) error {
	over := func(id events.PaymentID, refund events.RefundID) error {
		return tx.Exec(`DELETE FROM pending WHERE payment_id = ? AND refund_id = ?`, string(id), string(refund))
	}
	switch e := r.Event.(type) {
	case events.PaymentRefundRequested:
		return tx.Exec(`INSERT OR REPLACE INTO pending (payment_id, refund_id, due, requested) VALUES (?, ?, ?, ?)`,
			string(e.PaymentID), string(e.RefundID), r.Time.UnixMicro(), int64(r.Number))
	case events.PaymentRefundFailed:
		return over(e.PaymentID, e.RefundID)
	case events.PaymentRefunded:
		return over(e.PaymentID, e.RefundID)
	}
	return nil
}

// refunds gives back what was set aside.
func (all providers) refunds(payments *decider.Decider[payment], refundsView *projection.View) service.Effect {
	return service.Effect{Name: "payments-refunds", Stream: paymentType.Stream, View: refundsView, Pending: pendingRefunds, Handlers: []service.Handler{
		service.Call(payments, events.PaymentRefundRequested.EntityID, planRefund, all.refund, recordRefund),
	}}
}

// askedRefund is a refund as a provider is asked for it.
type askedRefund struct {
	Refund
	provider, key string
}

// planRefund asks for a refund that nothing is known of yet.
func planRefund(p payment, e events.PaymentRefundRequested) (ask askedRefund, needed bool) {
	r, known := p.refund(e.RefundID)
	if !known || r.status != refundAsked || p.taker == 0 {
		return askedRefund{}, false
	}
	taken := p.attempts[p.taker-1]
	return askedRefund{provider: taken.provider, key: fmt.Sprintf("%s-%d", r.id, r.refusals+1),
		Refund: Refund{ID: r.id, PaymentID: e.PaymentID, OrderID: e.OrderID, Capture: taken.capture, Amount: r.amount}}, true
}

func (all providers) refund(ctx context.Context, _ service.Attempt, ask askedRefund) (struct{}, error) {
	return struct{}{}, all.ask(ask.provider, func(p Provider) error { return p.Refund(ctx, ask.key, ask.Refund) })
}

// recordRefund records that a refund is done, or why it failed.
func recordRefund(p payment, e events.PaymentRefundRequested, o service.Outcome[struct{}], _ decider.Meta) (events.Event, error) {
	r, known := p.refund(e.RefundID)
	if !known || r.status != refundAsked {
		return nil, nil
	}
	if o.Err != nil {
		return events.PaymentRefundFailed{PaymentID: e.PaymentID, OrderID: e.OrderID, RefundID: e.RefundID, Amount: r.amount,
			Detail: plainReason(o.Err), Unknown: !service.IsPermanent(o.Err)}, nil
	}
	return events.PaymentRefunded{PaymentID: e.PaymentID, OrderID: e.OrderID, RefundID: e.RefundID, Amount: r.amount,
		Partial: p.kept() > r.amount.Amount}, nil
}

// plainReason returns why a provider did not do something, as an event may hold it.
func plainReason(err error) string {
	if text := plain(err.Error()); strings.TrimSpace(text) != "" {
		return text
	}
	return "the provider gave no reason"
}
