package receipts

import (
	"context"
	"time"

	"lonja/events"
	"lonja/events/query"
	"lonja/kit/errs"
	"lonja/kit/eventlog"
	"lonja/kit/projection"
	"lonja/kit/service"
)

// issueTimeout is how long a query waits for the receipt of an order that was paid a moment ago.
// It is issued within milliseconds, unless there are many to issue, as at the first start.
const issueTimeout = 3 * time.Second

// place says where the events of a receipt are. Its numbers are those of events.
type place struct {
	placed, paid uint64 // on ORDERS
	issued       uint64 // on RECEIPTS; 0 while the receipt is still to be issued
}

// findReceipt puts a receipt together from the events that the view has the places of.
func findReceipt(receiptsView *projection.View) func(context.Context, query.Receipt, eventlog.Actor) (any, error) {
	return func(ctx context.Context, q query.Receipt, a eventlog.Actor) (any, error) {
		if err := events.FirstOf(loggedIn(a), events.Token("order_id", q.OrderID)); err != nil {
			return nil, err
		}
		p, err := awaitReceipt(ctx, receiptsView, q.OrderID, a)
		if err != nil {
			return nil, err
		}
		places := []eventlog.Place{receiptsView.Place("ORDERS", p.placed), receiptsView.Place("ORDERS", p.paid), receiptsView.Place("RECEIPTS", p.issued)}
		err = receiptsView.Each(ctx, `SELECT credited_at FROM credits WHERE order_id = ? ORDER BY credited_at`, []any{orderKey(q.OrderID)}, func(scan func(...any) error) error {
			var at uint64
			err := scan(&at)
			places = append(places, receiptsView.Place("RECEIPTS", at))
			return err
		})
		if err != nil {
			return nil, err
		}
		done, err := service.AskLog(ctx)
		if err != nil {
			return nil, err
		}
		defer done()
		recorded, err := receiptsView.Events(ctx, places)
		if err != nil {
			return nil, err
		}
		return receiptFrom(recorded), nil
	}
}

// receiptFrom returns the receipt that some events make up.
func receiptFrom(recorded []eventlog.Record) query.ReceiptView {
	v := query.ReceiptView{Credits: []query.CreditNote{}}
	for _, r := range recorded {
		at := r.Time.UTC()
		switch e := r.Event.(type) {
		case events.OrderPlaced:
			v.OrderID, v.CustomerID, v.OrderedAt = e.OrderID, e.CustomerID, at
			v.Items, v.TotalItems, v.Total, v.Balance = e.Items, e.TotalItems, e.Total, e.Total
		case events.OrderPaid:
			v.PaidAt = at
		case events.ReceiptIssued:
			v.Number, v.IssuedAt = e.Number, at
		case events.ReceiptCredited:
			v.Credits = append(v.Credits, query.CreditNote{Number: e.Number, IssuedAt: at, Amount: e.Amount})
			v.Balance.Amount -= e.Amount.Amount
		}
	}
	return v
}

// awaitReceipt returns where the receipt of an order is. It waits for one that is still to be
// issued, since whoever has just paid asks for it at once.
func awaitReceipt(ctx context.Context, receiptsView *projection.View, id events.OrderID, a eventlog.Actor) (place, error) {
	if p, err := findPlace(ctx, receiptsView, id, a); err != nil || p.issued > 0 {
		return p, err
	}
	if err := service.ReleaseSlot(ctx); err != nil {
		return place{}, err
	}
	timeout := time.After(issueTimeout)
	for last := false; ; {
		changed, release := receiptsView.Watch(string(id))
		p, err := findPlace(ctx, receiptsView, id, a)
		if err == nil && p.issued == 0 && last {
			err = errs.New(errs.Unavailable, "order %s is paid, and its receipt is still to be issued; try again", id)
		}
		if err != nil || p.issued > 0 {
			release()
			return p, err
		}
		select {
		case <-changed:
		case <-timeout:
			last = true
		case <-service.Stopping(ctx):
			last = true
		case <-ctx.Done():
			release()
			return place{}, ctx.Err()
		}
		release()
	}
}

// findPlace returns where the receipt of an order is, by the rows. It is NotFound to those who
// may not see the order, and while the order is not paid.
func findPlace(ctx context.Context, receiptsView *projection.View, id events.OrderID, a eventlog.Actor) (place, error) {
	var reader any // of anybody's orders
	if !a.HasRole(events.StaffRoles...) {
		reader = customerKey(a.ID)
	}
	var p place
	found, err := receiptsView.Get(ctx, `SELECT o.placed, ifnull(o.paid, 0), ifnull(r.issued_at, 0)
		FROM orders o LEFT JOIN receipts r ON r.order_id = o.id
		WHERE o.id = ? AND o.placed IS NOT NULL AND o.customer = ifnull(?, o.customer)`, []any{orderKey(id), reader}, &p.placed, &p.paid, &p.issued)
	switch {
	case err != nil:
		return place{}, err
	case !found:
		return place{}, errs.New(errs.NotFound, "there is no order %s", id)
	case p.paid == 0:
		return place{}, errs.New(errs.NotFound, "order %s has no receipt, since it is not paid", id)
	}
	return p, nil
}

// loggedIn is Unauthenticated unless the actor has an id that may be a user's.
func loggedIn(a eventlog.Actor) error {
	if !events.IsToken(a.ID) {
		return errs.New(errs.Unauthenticated, "log in first")
	}
	return nil
}
