package audit

import (
	"hash/maphash"

	"lonja/events"
	"lonja/kit/eventlog"
)

// story is all that the services say of one order: three histories, of the
// order itself, its goods and its money.
type story struct {
	at      [storySteps]uint64 // where each step stands on its stream, the last time
	last    [histories]step
	because step         // what the order says it was cancelled for, nothing when somebody wished it
	worth   events.Money // as placed
	asked   events.Money // of the customer
	ordered uint64       // fingerprint of the lines, as placed
	kept    uint64       // of those that the stock set aside or gave away
}

// history is one of a story's three.
type history uint8

const (
	ofOrder history = iota
	ofGoods
	ofMoney
	histories
)

var streamOf = [histories]string{"ORDERS", "INVENTORY", "PAYMENTS"}

func historyOf(s step) history {
	switch {
	case s >= requested:
		return ofMoney
	case s >= reserved:
		return ofGoods
	}
	return ofOrder
}

// enter moves the story on by an event and checks the event against what its own
// stream said before. What streams say of each other is judged at the end.
func (t *story) enter(b *books, r eventlog.Record, event events.OfOrder) {
	s := stepOf(event)
	h := historyOf(s)
	if before := t.last[h]; !legal(before, s) {
		b.wrong(r, Transitions, "%s after %s; it may only come after %s", s, before, oneOf(follows[s]))
	}
	switch h {
	case ofOrder:
		t.enterOrder(b, r)
	case ofGoods:
		t.enterGoods(b, r)
	case ofMoney:
		t.enterMoney(b, r, event)
	}
	t.last[h], t.at[s] = s, r.Sequence
}

func (t *story) enterOrder(b *books, r eventlog.Record) {
	switch e := r.Event.(type) {
	case events.OrderPlaced:
		t.worth, t.ordered = e.Total, fingerprint(events.LinesOf(e.Items))
		t.checkTotal(b, r, e)
	case events.OrderAwaitingPayment:
		t.checkAmount(b, r, "awaits", e.Amount, t.worth)
	case events.OrderPaid:
		t.checkAmount(b, r, "is paid with", e.Amount, t.worth)
		if t.last[ofOrder] == placed && t.worth.Amount > 0 {
			b.wrong(r, Order, "is paid, but its money was not awaited")
		}
		if fingerprint(e.Lines) != t.ordered {
			b.wrong(r, Order, "its lines are not those that were ordered")
		}
		if e.PaymentID != events.PaymentFor(e.OrderID) {
			b.wrong(r, Order, "is paid by %s; its payment is %s", e.PaymentID, events.PaymentFor(e.OrderID))
		}
	case events.OrderCancelled:
		t.because = because[e.Reason]
		if was := t.last[ofOrder] == paid; e.WasPaid != was {
			b.wrong(r, Order, "says was_paid %t after %s", e.WasPaid, t.last[ofOrder])
		}
	}
}

// checkTotal adds an order up, and looks for what it asks for in the
// catalogue, which was read before.
func (t *story) checkTotal(b *books, r eventlog.Record, e events.OrderPlaced) {
	total, pieces := events.Money{Currency: e.Total.Currency}, int64(0)
	for _, item := range e.Items {
		line, _ := item.UnitPrice.Times(item.Quantity)
		total.Amount, pieces = total.Amount+line.Amount, pieces+item.Quantity
		if line != item.LineTotal {
			b.wrong(r, Order, "%d of %s at %s are %s, not %s", item.Quantity, item.SKU, item.UnitPrice, line, item.LineTotal)
		}
		if b.judged(ofOrder, r.Sequence) && b.lives["product."+string(item.SKU)] == nothing {
			b.wrong(r, Order, "asks for %s, which the catalogue never had", item.SKU)
		}
	}
	if total != e.Total || pieces != e.TotalItems {
		b.wrong(r, Order, "its lines come to %d pieces for %s, not %d for %s", pieces, total, e.TotalItems, e.Total)
	}
}

func (t *story) enterGoods(b *books, r eventlog.Record) {
	switch e := r.Event.(type) {
	case events.StockReserved:
		t.kept = fingerprint(e.Lines)
	case events.StockCommitted:
		if e.FromAvailable {
			t.kept = fingerprint(e.Lines)
		}
		if held := t.last[ofGoods] == reserved; e.FromAvailable == held {
			b.wrong(r, Order, "says from_available %t after %s", e.FromAvailable, t.last[ofGoods])
		}
		t.checkLines(b, r, e.Lines, t.kept)
	case events.StockReturned:
		t.checkLines(b, r, e.Lines, t.kept)
	case events.StockReleased:
		if t.last[ofGoods] == reserved {
			t.checkLines(b, r, e.Lines, t.kept)
		} else {
			t.checkLines(b, r, e.Lines, fingerprint(nil))
		}
	}
}

// checkLines checks that what moves is what was kept for the order.
func (t *story) checkLines(b *books, r eventlog.Record, lines []events.Quantity, kept uint64) {
	if fingerprint(lines) != kept {
		b.wrong(r, Order, "moves other lines than were set aside")
	}
}

func (t *story) enterMoney(b *books, r eventlog.Record, event events.OfOrder) {
	if own := events.PaymentFor(event.Order()); event.EntityID() != string(own) {
		b.wrong(r, Order, "is for order %s, whose payment is %s", event.Order(), own)
	}
	switch e := r.Event.(type) {
	case events.PaymentRequested:
		t.asked = e.Amount
	case events.PaymentCaptured:
		t.checkAmount(b, r, "captures", e.Amount, t.asked)
	case events.PaymentRefunded:
		t.checkAmount(b, r, "refunds", e.Amount, t.asked)
	}
}

func (t *story) checkAmount(b *books, r eventlog.Record, does string, is, expected events.Money) {
	if is != expected {
		b.wrong(r, Money, "%s %s, expected %s", does, is, expected)
	}
}

var seed = maphash.MakeSeed()

// fingerprint stands for lines of an order, in whatever order they come and
// however often they name a SKU. It is additive: so many pieces of a SKU count
// the same on one line as on two.
func fingerprint(lines []events.Quantity) (sum uint64) {
	for _, l := range lines {
		sum += maphash.String(seed, string(l.SKU)) * uint64(l.Quantity)
	}
	return sum
}
