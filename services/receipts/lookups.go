package receipts

import (
	"context"
	"time"

	"lonja/events"
	"lonja/kit/decider"
	"lonja/kit/errs"
	"lonja/kit/eventlog"
	"lonja/kit/projection"
	"lonja/kit/service"
)

// entryLookup finds out whether a book has an entry that its state no longer holds: from the
// receipts view or, as far as the view cannot tell, from the log.
type entryLookup struct {
	view  *projection.View
	books *decider.Decider[*book]
	book  string
	sql   string // finds a row by the key of its entry
	past  *decider.Past
}

func newEntryLookup(view *projection.View, books *decider.Decider[*book], book, sql string) *entryLookup {
	return &entryLookup{view, books, book, sql, books.Past(book, func(r eventlog.Record) string {
		key, _ := entryOf(r.Event)
		return key
	})}
}

// viewWait is how long a decision waits for a view that lags, before the log is read instead.
const viewWait = 250 * time.Millisecond

// find looks for an entry about a key, by the entries up to the sequence least at least. A view
// that has failed, or is being built, costs time and memory but stops nothing. Column is the key
// as the rows have it.
func (l *entryLookup) find(ctx context.Context, key string, column any, least uint64) (found, error) {
	f := l.inRows(ctx, column, least)
	if l.past.Forget(f.through); f.written || f.through >= least {
		return f, nil
	}
	at, through, err := l.past.Find(ctx, key, f.through, least)
	return found{at != 0, through}, err
}

// inRows looks for an entry in the rows of the view; found.through tells how far these go.
func (l *entryLookup) inRows(ctx context.Context, column any, least uint64) found {
	wait := viewWait
	if l.past.Active() {
		wait = 0
	}
	ctx, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	home, err := l.books.Home(ctx, l.book)
	if err != nil {
		return found{}
	}
	through, written, err := l.view.GetThrough(ctx, home, least, l.sql, []any{column}, new(int))
	if err != nil {
		return found{}
	}
	return found{written, through}
}

// lookUpIssued is the lookup of issue; see service.ReactWith.
func lookUpIssued(l *entryLookup) func(context.Context, events.OrderPaid, uint64) (found, error) {
	return func(ctx context.Context, e events.OrderPaid, least uint64) (found, error) {
		return l.find(ctx, string(e.OrderID), orderKey(e.OrderID), least)
	}
}

// lookUpRefund is the lookup of credit: the receipt of the refunded order comes first, then
// whether the refund has a credit note already.
func lookUpRefund(view *projection.View, l *entryLookup) func(context.Context, events.PaymentRefunded, uint64) (refund, error) {
	return func(ctx context.Context, e events.PaymentRefunded, least uint64) (r refund, err error) {
		r.id = service.EventID(ctx)
		if r.receipt, err = receiptOf(ctx, view, e.OrderID); err != nil || r.receipt == 0 {
			return r, err
		}
		r.found, err = l.find(ctx, r.id, r.id, least)
		return r, err
	}
}

// receiptOf returns the number of the receipt of an order whose money was given back. It is 0 if
// the order has none and never will: it was cancelled unpaid, or nobody placed it. That is
// certain only when the view has caught up with the log, which holds what became of the order
// since before the refund. The error is Unavailable, which has the refund delivered again, while
// the receipt is still to come.
func receiptOf(ctx context.Context, view *projection.View, id events.OrderID) (number int64, err error) {
	var open bool
	read := func() error {
		_, err := view.Get(ctx, `SELECT ifnull(r.number, 0), o.paid IS NOT NULL OR o.cancelled = 0
			FROM orders o LEFT JOIN receipts r ON r.order_id = o.id WHERE o.id = ?`, []any{orderKey(id)}, &number, &open)
		return err
	}
	if err := read(); err != nil || number > 0 {
		return number, err
	}
	if err := view.CatchUp(ctx); err != nil {
		return 0, err
	}
	if err := read(); err != nil {
		return 0, err
	}
	if number == 0 && open {
		return 0, errs.New(errs.Unavailable, "the receipt of order %s is still to be issued", id)
	}
	return number, nil
}
