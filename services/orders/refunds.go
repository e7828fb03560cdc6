package orders

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"lonja/events"
	"lonja/events/command"
	"lonja/events/query"
	"lonja/kit/decider"
	"lonja/kit/errs"
	"lonja/kit/eventlog"
	"lonja/kit/projection"
)

// An order says what of its money goes back, and payments gives it back. What the order has requested
// counts as gone until payments reports that it failed; so several refunds at once never exceed the total.

// refund is a part of an order's money that goes back.
type refund struct {
	query.RefundView
}

func (r refund) failed() bool { return r.Status == query.RefundFailed }

// evolveRefunds returns an order's refunds after an event. It leaves the slice that it is given as it is.
func evolveRefunds(all []refund, event events.Event, at time.Time) []refund {
	switch e := event.(type) {
	case events.OrderRefundRequested:
		all = withRefund(all, e.OrderID, e.RefundID, at)
		r := &all[indexOf(all, e.RefundID)]
		r.Amount, r.Lines, r.Reason, r.Status, r.UpdatedAt = e.Amount, e.Lines, e.Reason, query.RefundRequested, at.UTC()
	case events.OrderRefundFailed:
		all = withRefund(all, e.OrderID, e.RefundID, at)
		r := &all[indexOf(all, e.RefundID)]
		r.Amount, r.Status, r.UpdatedAt = e.Amount, query.RefundFailed, at.UTC()
	}
	return all
}

// withRefund returns a copy of the refunds in which there is one with an id.
func withRefund(all []refund, order events.OrderID, id events.RefundID, at time.Time) []refund {
	all = slices.Clone(all)
	if indexOf(all, id) < 0 {
		all = append(all, refund{query.RefundView{ID: id, OrderID: order, RequestedAt: at.UTC()}})
	}
	return all
}

func indexOf(all []refund, id events.RefundID) int {
	return slices.IndexFunc(all, func(r refund) bool { return r.ID == id })
}

// refundable returns what of the order's total is not refunded and will not be.
func (o order) refundable() events.Money {
	left := o.Total
	for _, r := range o.refunds {
		if !r.failed() {
			left.Amount -= r.Amount.Amount
		}
	}
	return left
}

func refundOrder(o order, c command.RefundOrder, m decider.Meta) (events.Event, error) {
	if err := staffOnly(o, c.OrderID, m.Actor); err != nil {
		return nil, err
	}
	switch {
	case o.Status == query.Cancelled:
		return nil, errs.New(errs.Conflict, "the order is cancelled, which refunds all of its money")
	case o.Status != query.Paid && o.Status != query.Shipped && o.Status != query.Delivered:
		return nil, errs.New(errs.Conflict, "the order is %s, and only one that is paid can be refunded", o.Status)
	case len(o.refunds) >= events.MaxRefunds:
		return nil, errs.New(errs.Conflict, "the order has %d refunds already, which is the maximum", events.MaxRefunds)
	}
	requested := events.OrderRefundRequested{OrderID: o.ID, RefundID: events.RefundID(eventlog.NewEntityID("ref_", m.CommandID)), Reason: c.Reason}
	var err error
	switch {
	case len(c.Lines) > 0:
		requested.Lines, requested.Amount, err = o.costOf(c.Lines)
	case c.Amount != nil:
		if requested.Amount = *c.Amount; requested.Amount.Currency != o.Currency {
			err = events.InvalidField("amount.currency", "must be %s, the order's", o.Currency)
		}
	default:
		requested.Amount = o.refundable()
	}
	if err != nil {
		return nil, err
	}
	return requested, o.mayRefund(requested.Amount)
}

// mayRefund is a Conflict when an amount exceeds what is left, or nothing is.
func (o order) mayRefund(amount events.Money) error {
	switch left := o.refundable(); {
	case left.Amount <= 0:
		return errs.New(errs.Conflict, "nothing is left to refund of the order's %s", o.Total)
	case amount.Amount > left.Amount:
		return errs.New(errs.Conflict, "of the order's %s, %s are left to refund, not %s", o.Total, left, amount)
	}
	return nil
}

// costOf returns lines with what they cost, and the sum.
func (o order) costOf(wanted []command.ReturnedLine) (lines []events.RefundLine, sum events.Money, err error) {
	sum.Currency = o.Currency
	for i, w := range wanted {
		path := fmt.Sprintf("lines[%d]", i)
		at := slices.IndexFunc(o.Items, func(item events.OrderItem) bool { return item.SKU == w.SKU })
		if at < 0 {
			return nil, sum, events.InvalidField(path+".sku", "is not in the order")
		}
		amount, ok := o.Items[at].UnitPrice.Times(w.Quantity)
		if ok {
			sum, ok = sum.Plus(amount)
		}
		if !ok {
			return nil, sum, events.InvalidField(path+".quantity", "makes the lines cost more than an order can")
		}
		lines = append(lines, events.RefundLine{SKU: w.SKU, Quantity: w.Quantity, Restock: w.Restock, Amount: amount})
		if err := o.mayReturn(lines, w.SKU, path, ""); err != nil {
			return nil, sum, err
		}
	}
	if sum.Amount == 0 {
		return nil, sum, events.InvalidField("lines", "must cost something, or there is nothing to refund")
	}
	return lines, sum, nil
}

// mayReturn checks that the pieces of a SKU in lines, with those of other refunds, are no more than were
// ordered, and that none goes into stock twice. Pieces of a refund that failed are free, but those that it put
// into stock are there.
func (o order) mayReturn(lines []events.RefundLine, sku events.SKU, path string, except events.RefundID) error {
	var ordered, before, restocked, now, restock int64
	for _, item := range o.Items {
		if item.SKU == sku {
			ordered += item.Quantity
		}
	}
	count := func(lines []events.RefundLine, all, back *int64) {
		for _, line := range lines {
			if line.SKU == sku {
				*all += line.Quantity
				if line.Restock {
					*back += line.Quantity
				}
			}
		}
	}
	for _, r := range o.refunds {
		switch {
		case r.ID == except:
		case r.failed():
			count(r.Lines, new(int64), &restocked)
		default:
			count(r.Lines, &before, &restocked)
		}
	}
	switch count(lines, &now, &restock); {
	case now > ordered:
		return events.InvalidField(path+".quantity", "makes more than the %d pieces that were ordered", ordered)
	case now > ordered-before:
		return &errs.Error{Code: errs.Conflict, Field: path + ".quantity",
			Detail: fmt.Sprintf("of %d pieces of %s, %d are refunded already", ordered, sku, before)}
	case restock > ordered-restocked:
		return &errs.Error{Code: errs.Conflict, Field: path + ".restock",
			Detail: fmt.Sprintf("of %d pieces of %s, %d went back into stock already; a refund that failed puts its pieces there, too, so try that one again", ordered, sku, restocked)}
	}
	return nil
}

// retryRefund asks again for a refund that failed, also when the order was cancelled meanwhile: payments
// knows whether the cancellation has refunded it.
func retryRefund(o order, c command.RetryRefund, m decider.Meta) (events.Event, error) {
	if err := staffOnly(o, c.OrderID, m.Actor); err != nil {
		return nil, err
	}
	i := indexOf(o.refunds, c.RefundID)
	if i < 0 {
		return nil, errs.New(errs.NotFound, "order %s has no refund %s that failed", c.OrderID, c.RefundID)
	}
	r := o.refunds[i]
	if !r.failed() {
		return nil, errs.New(errs.Conflict, "refund %s has not failed", r.ID)
	}
	for n, line := range r.Lines {
		if err := o.mayReturn(r.Lines, line.SKU, fmt.Sprintf("lines[%d]", n), r.ID); err != nil {
			return nil, err
		}
	}
	return events.OrderRefundRequested{OrderID: o.ID, RefundID: r.ID, Amount: r.Amount, Lines: r.Lines, Reason: r.Reason}, o.mayRefund(r.Amount)
}

// onRefundFailed frees the amount of a refund that the provider did not make. It may be one that the
// order did not request, such as that of its cancellation; then it can be tried again from here.
func onRefundFailed(o order, e events.PaymentRefundFailed, _ decider.Meta) (events.Event, error) {
	if i := indexOf(o.refunds, e.RefundID); o.Status == unknown || i >= 0 && o.refunds[i].failed() {
		return nil, nil
	}
	return events.OrderRefundFailed{OrderID: o.ID, RefundID: e.RefundID, Amount: e.Amount}, nil
}

// replyToRefund is the answer to a refund: as it was requested.
func replyToRefund(o order, event events.Event) any {
	if e, ok := event.(events.OrderRefundRequested); ok {
		return o.refunds[indexOf(o.refunds, e.RefundID)].RefundView
	}
	return nil
}

// projectRefunds writes the rows of a refund: of what the order requested, and of what became of the
// payment's. Each stream has a table, so no row depends on which of them is read first.
func projectRefunds(tx *projection.Tx, event events.OfOrder, at time.Time) error {
	order, when := orderKey(event.Order()), timeColumn(at)
	switch e := event.(type) {
	case events.OrderRefundRequested:
		lines, err := json.Marshal(e.Lines)
		if err != nil {
			return err
		}
		return tx.Exec(`INSERT INTO refunds (order_id, id, amount, lines, reason, status, requested, updated) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?7)
			ON CONFLICT (order_id, id) DO UPDATE SET status = ?6, lines = ?4, reason = ?5, amount = ?3, updated = ?7`,
			order, refundKey(e.RefundID), e.Amount.Amount, string(lines), e.Reason, query.RefundRequested, when)
	case events.OrderRefundFailed:
		return tx.Exec(`INSERT INTO refunds (order_id, id, amount, lines, reason, status, requested, updated) VALUES (?1, ?2, ?3, 'null', '', ?4, ?5, ?5)
			ON CONFLICT (order_id, id) DO UPDATE SET status = ?4, updated = ?5`,
			order, refundKey(e.RefundID), e.Amount.Amount, query.RefundFailed, when)
	case events.PaymentRefundRequested:
		return putPaymentRefund(tx, order, e.RefundID, e.Amount, query.RefundRequested, "", when)
	case events.PaymentRefundFailed:
		return putPaymentRefund(tx, order, e.RefundID, e.Amount, query.RefundFailed, e.Detail, when)
	case events.PaymentRefunded:
		// One of an earlier version has no id, and gave everything back.
		id := cmp.Or(e.RefundID, events.RefundFor(e.OrderID, 1))
		if err := tx.Exec(`UPDATE payments SET refunded = refunded + ? WHERE order_id = ?`, e.Amount.Amount, order); err != nil {
			return err
		}
		return putPaymentRefund(tx, order, id, e.Amount, query.RefundDone, "", when)
	}
	return nil
}

func putPaymentRefund(tx *projection.Tx, order any, id events.RefundID, amount events.Money, status, detail string, when any) error {
	return tx.Exec(`INSERT INTO payment_refunds (order_id, id, amount, status, detail, requested, updated) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?6)
		ON CONFLICT (order_id, id) DO UPDATE SET status = ?4, detail = ?5, updated = ?6`,
		order, refundKey(id), amount.Amount, status, detail, when)
}

func refundKey(id events.RefundID) any { return projection.CompactID("ref_", string(id)) }

// refundsSQL selects an order's refunds, oldest first. Payments has the last word on one that is done;
// otherwise the order has, which may have asked again. It knows nothing of a refund that nobody asked for
// until that fails.
var refundsSQL = `SELECT ` + projection.ExpandID("ref_", "ifnull(r.id, p.id)") + `, ifnull(r.amount, p.amount), ifnull(r.lines, 'null'), ifnull(r.reason, ''),
	iif(p.status = '` + query.RefundDone + `', p.status, ifnull(r.status, p.status)) status, ifnull(p.detail, ''),
	min(ifnull(r.requested, p.requested), ifnull(p.requested, r.requested)) requested, max(ifnull(r.updated, p.updated), ifnull(p.updated, r.updated))
	FROM (SELECT * FROM refunds WHERE order_id = ?1) r FULL JOIN (SELECT * FROM payment_refunds WHERE order_id = ?1) p ON p.id = r.id
	ORDER BY requested, 1`

func listRefunds(ordersView *projection.View) func(context.Context, query.OrderRefunds, eventlog.Actor) (any, error) {
	return func(ctx context.Context, q query.OrderRefunds, a eventlog.Actor) (any, error) {
		if err := events.FirstOf(loggedIn(a), events.Token("order_id", q.OrderID)); err != nil {
			return nil, err
		}
		var currency string
		found, err := ordersView.Get(ctx, `SELECT json_extract('{' || goods || '}', '$.currency') FROM placed_orders WHERE id = ? AND customer = ifnull(?, customer)`,
			[]any{orderKey(q.OrderID), readerArg(a)}, &currency)
		if err != nil {
			return nil, err
		}
		if !found {
			return nil, noSuchOrder(q.OrderID)
		}
		refunds := []query.RefundView{}
		err = ordersView.Each(ctx, refundsSQL, []any{orderKey(q.OrderID)}, func(scan func(...any) error) error {
			r, err := scanRefund(scan, a)
			r.OrderID, r.Amount.Currency = q.OrderID, currency
			refunds = append(refunds, r)
			return err
		})
		return refunds, err
	}
}

// scanRefund reads a row of refundsSQL. What a provider says is for staff.
func scanRefund(scan func(...any) error, a eventlog.Actor) (r query.RefundView, err error) {
	var id, lines, detail string
	var requested, updated any
	if err := scan(&id, &r.Amount.Amount, &lines, &r.Reason, &r.Status, &detail, &requested, &updated); err != nil {
		return r, err
	}
	if r.ID = events.RefundID(id); r.Status == query.RefundFailed && a.HasRole(events.StaffRoles...) {
		r.Problem = detail
	}
	if err := json.Unmarshal([]byte(lines), &r.Lines); err != nil {
		return r, err
	}
	if r.RequestedAt, err = parseTime(requested); err != nil {
		return r, err
	}
	r.UpdatedAt, err = parseTime(updated)
	return r, err
}
