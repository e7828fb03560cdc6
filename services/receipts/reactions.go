package receipts

import (
	"lonja/events"
	"lonja/kit/decider"
)

// The events of orders and payments may arrive more than once, and long after they were handled. An
// order or a refund that the book has an entry about leads to nothing. So every decision here is
// idempotent by itself.

// issue gives a paid order the next number in the book of receipts.
func issue(b *book, e events.OrderPaid, f found, _ decider.Meta) (events.Event, error) {
	if written, err := b.has(string(e.OrderID), f); written || err != nil {
		return nil, err
	}
	return events.ReceiptIssued{Number: b.last + 1, OrderID: e.OrderID, Amount: e.Amount}, nil
}

// refund is what was looked up about a refund. The zero value says that nothing was.
type refund struct {
	id      string // of the event payment.refunded
	receipt int64  // the number of the order's receipt; 0 when the order was never paid
	found          // in the book of credit notes
}

// credit gives a refund the next number in the book of credit notes. What was paid too late for
// an order that was cancelled before has no receipt, and so no credit note; nor has money that came
// a second time.
func credit(b *book, e events.PaymentRefunded, r refund, _ decider.Meta) (events.Event, error) {
	if e.Again {
		return nil, nil
	}
	if r.id == "" {
		return nil, &decider.NeedsLookup{Through: b.floor}
	}
	if r.receipt == 0 {
		return nil, nil
	}
	if written, err := b.has(r.id, r.found); written || err != nil {
		return nil, err
	}
	return events.ReceiptCredited{Number: b.last + 1, OrderID: e.OrderID, Receipt: r.receipt, Refund: r.id, Amount: e.Amount}, nil
}
