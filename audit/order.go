package audit

import (
	"hash/maphash"

	"lonja/events"
	"lonja/kit/eventlog"
)

// order is what the services record about one order: the histories of the order
// itself, of its stock and of its payment.
type order struct {
	sequences    [orderSteps]uint64 // of the last event of each step, 0 for none
	last         [histories]step
	cancelCause  step         // what the order names as the cause of its cancellation; nothing when a person commanded it
	total        events.Money // as placed
	requested    events.Money // from the customer
	orderedLines uint64       // fingerprint of the lines, as placed
	reserved     uint64       // fingerprint of the lines that inventory reserved or took
}

// history is one of the three histories of an order.
type history uint8

const (
	ofOrder history = iota
	ofStock
	ofPayment
	histories
)

var streamOf = [histories]string{"ORDERS", "INVENTORY", "PAYMENTS"}

func historyOf(s step) history {
	switch {
	case s >= requested:
		return ofPayment
	case s >= reserved:
		return ofStock
	}
	return ofOrder
}

// apply adds an event to the order and checks it against the earlier events of its
// own stream. The streams are checked against each other at the end, by checkOrders.
func (o *order) apply(m *model, r eventlog.Record, event events.OfOrder) {
	s := stepOf(event)
	h := historyOf(s)
	if before := o.last[h]; !allowed(before, s) {
		m.violateAt(r, Transitions, "%s after %s; expected after %s", s, before, oneOf(predecessors[s]))
	}
	switch h {
	case ofOrder:
		o.applyOrder(m, r)
	case ofStock:
		o.applyStock(m, r)
	case ofPayment:
		o.applyPayment(m, r, event)
	}
	o.last[h], o.sequences[s] = s, r.Sequence
}

func (o *order) applyOrder(m *model, r eventlog.Record) {
	switch e := r.Event.(type) {
	case events.OrderPlaced:
		o.total, o.orderedLines = e.Total, fingerprint(events.LinesOf(e.Items))
		o.checkTotal(m, r, e)
	case events.OrderAwaitingPayment:
		o.checkAmount(m, r, "awaits", e.Amount, o.total)
	case events.OrderPaid:
		o.checkAmount(m, r, "is paid with", e.Amount, o.total)
		if o.last[ofOrder] == placed && o.total.Amount > 0 {
			m.violateAt(r, Order, "is paid, but was not awaiting payment")
		}
		if fingerprint(e.Lines) != o.orderedLines {
			m.violateAt(r, Order, "has other lines than were ordered")
		}
		if e.PaymentID != events.PaymentFor(e.OrderID) {
			m.violateAt(r, Order, "is paid by %s; expected payment %s", e.PaymentID, events.PaymentFor(e.OrderID))
		}
	case events.OrderCancelled:
		o.cancelCause = causeOfReason[e.Reason]
		if was := o.last[ofOrder] == paid; e.WasPaid != was {
			m.violateAt(r, Order, "records was_paid %t after %s", e.WasPaid, o.last[ofOrder])
		}
	}
}

// checkTotal adds up an order's lines and looks for its products in the catalogue,
// which is read before the orders.
func (o *order) checkTotal(m *model, r eventlog.Record, e events.OrderPlaced) {
	total, pieces := events.Money{Currency: e.Total.Currency}, int64(0)
	for _, item := range e.Items {
		line, _ := item.UnitPrice.Times(item.Quantity)
		total.Amount, pieces = total.Amount+line.Amount, pieces+item.Quantity
		if line != item.LineTotal {
			m.violateAt(r, Order, "%d of %s at %s are %s, not %s", item.Quantity, item.SKU, item.UnitPrice, line, item.LineTotal)
		}
		if m.beforeCut(ofOrder, r.Sequence) && m.lastSteps["product."+string(item.SKU)] == nothing {
			m.violateAt(r, Order, "orders %s, which the catalogue never had", item.SKU)
		}
	}
	if total != e.Total || pieces != e.TotalItems {
		m.violateAt(r, Order, "has lines that add up to %d pieces for %s, not %d for %s", pieces, total, e.TotalItems, e.Total)
	}
}

func (o *order) applyStock(m *model, r eventlog.Record) {
	switch e := r.Event.(type) {
	case events.StockReserved:
		o.reserved = fingerprint(e.Lines)
	case events.StockCommitted:
		if e.FromAvailable {
			o.reserved = fingerprint(e.Lines)
		}
		if held := o.last[ofStock] == reserved; e.FromAvailable == held {
			m.violateAt(r, Order, "records from_available %t after %s", e.FromAvailable, o.last[ofStock])
		}
		o.checkLines(m, r, e.Lines, o.reserved)
	case events.StockReturned:
		o.checkLines(m, r, e.Lines, o.reserved)
	case events.StockReleased:
		if o.last[ofStock] == reserved {
			o.checkLines(m, r, e.Lines, o.reserved)
		} else {
			o.checkLines(m, r, e.Lines, fingerprint(nil))
		}
	}
}

// checkLines checks that an event moves the lines that were reserved for the order.
func (o *order) checkLines(m *model, r eventlog.Record, lines []events.Quantity, reserved uint64) {
	if fingerprint(lines) != reserved {
		m.violateAt(r, Order, "moves other lines than were reserved")
	}
}

func (o *order) applyPayment(m *model, r eventlog.Record, event events.OfOrder) {
	if own := events.PaymentFor(event.Order()); event.EntityID() != string(own) {
		m.violateAt(r, Order, "is for order %s; expected payment %s", event.Order(), own)
	}
	switch e := r.Event.(type) {
	case events.PaymentRequested:
		o.requested = e.Amount
	case events.PaymentCaptured:
		o.checkAmount(m, r, "captures", e.Amount, o.requested)
	case events.PaymentRefunded:
		o.checkAmount(m, r, "refunds", e.Amount, o.requested)
	}
}

func (o *order) checkAmount(m *model, r eventlog.Record, does string, is, expected events.Money) {
	if is != expected {
		m.violateAt(r, Money, "%s %s, expected %s", does, is, expected)
	}
}

var seed = maphash.MakeSeed()

// fingerprint hashes the lines of an order. It does not depend on their order, and
// it is additive: two lines of a SKU hash like one line with the sum.
func fingerprint(lines []events.Quantity) (sum uint64) {
	for _, l := range lines {
		sum += maphash.String(seed, string(l.SKU)) * uint64(l.Quantity)
	}
	return sum
}
