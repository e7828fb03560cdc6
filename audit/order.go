package audit

import (
	"encoding/binary"
	"fmt"
	"slices"
	"strings"

	"lonja/events"
	"lonja/kit/eventlog"
)

// order is what the services record about one order: the histories of the order
// itself, of its stock, of its payment and of its receipt.
type order struct {
	sequences    [orderSteps]uint64 // the number (eventlog.Record) of the last event of each step, 0 for none
	last         [histories]step
	cancelCause  step         // what the order names as the cause of its cancellation; nothing when a person commanded it
	total        events.Money // as placed
	requested    events.Money // from the customer
	orderedLines uint64       // fingerprint of the lines, as placed
	reserved     uint64       // fingerprint of the lines that inventory reserved or took
	restocked    uint64       // fingerprint of the lines that came back with refunds
	ordered      []pieces     // as placed
	captured     int64        // all that ever came
	refunds      []*refund
	receipt      receipt
}

// history is one of the four histories of an order.
type history uint8

const (
	ofOrder history = iota
	ofStock
	ofPayment
	ofReceipt
	histories
)

var streamOf = [histories]string{"ORDERS", "INVENTORY", "PAYMENTS", "RECEIPTS"}

func historyOf(s step) history {
	switch {
	case s >= issued:
		return ofReceipt
	case s >= requested:
		return ofPayment
	case s >= reserved:
		return ofStock
	}
	return ofOrder
}

// checkOrderEvent checks what an event about an order says by itself.
func (m *model) checkOrderEvent(r eventlog.Record) {
	switch e := r.Event.(type) {
	case events.OrderPlaced:
		m.checkTotal(r, e)
	case events.OrderRefundRequested:
		if !linesAddUp(e) {
			m.violateAt(r, Money, "has lines that do not add up to %s", e.Amount)
		}
	case events.OrderPaid:
		if e.PaymentID != events.PaymentFor(e.OrderID) {
			m.violateAt(r, Order, "is paid by %s; expected payment %s", e.PaymentID, events.PaymentFor(e.OrderID))
		}
	}
	if historyOf(stepOf(r.Event)) == ofPayment {
		of := r.Event.(events.OfOrder).Order()
		if own := events.PaymentFor(of); r.Event.EntityID() != string(own) {
			m.violateAt(r, Order, "is for order %s; expected payment %s", of, own)
		}
	}
}

// checkTotal adds up an order's lines and looks for its products in the catalogue,
// which is read before the orders.
func (m *model) checkTotal(r eventlog.Record, e events.OrderPlaced) {
	total, pieces := events.Money{Currency: e.Total.Currency}, int64(0)
	for _, item := range e.Items {
		line, _ := item.UnitPrice.Times(item.Quantity)
		total.Amount, pieces = total.Amount+line.Amount, pieces+item.Quantity
		if line != item.LineTotal {
			m.violateAt(r, Order, "%d of %s at %s are %s, not %s", item.Quantity, item.SKU, item.UnitPrice, line, item.LineTotal)
		}
		if m.beforeCut(placed, r.Number) && m.products[item.SKU] == nothing {
			m.violateAt(r, Order, "orders %s, which the catalogue never had", item.SKU)
		}
	}
	if total != e.Total || pieces != e.TotalItems {
		m.violateAt(r, Order, "has lines that add up to %d pieces for %s, not %d for %s", pieces, total, e.TotalItems, e.Total)
	}
}

// apply adds a fact to the order and checks it against the earlier ones of its own stream. The
// streams are checked against each other at the end, by checkOrder.
func (o *order) apply(m *model, f fact) {
	h := historyOf(f.step)
	if at, was := m.placeOf(f.step, f.seq), m.placeOf(f.step, o.sequences[o.last[h]]); o.last[h] != nothing && h != ofReceipt && at.Stream != was.Stream {
		m.violateFact(f, Partitions, "is recorded on %s, but earlier events are on %s", at.Stream, was.Stream)
	}
	if f.refund != "" {
		o.applyRefund(m, f)
		return
	}
	if before := o.last[h]; !allowed(before, f.step) {
		m.violateFact(f, Transitions, "%s after %s; expected after %s", f.step, before, oneOf(predecessors[f.step]))
	}
	switch h {
	case ofOrder:
		o.applyOrder(m, f)
	case ofStock:
		o.applyStock(m, f)
	case ofPayment:
		o.applyPayment(m, f)
	case ofReceipt:
		o.receipt.apply(m, f, o.sequences[issued])
	}
	if o.sequences[f.step] = f.seq; !isNote(f.step) {
		o.last[h] = f.step
	}
}

func (o *order) applyOrder(m *model, f fact) {
	switch f.step {
	case placed:
		o.total, o.orderedLines, o.ordered = f.amount, f.lines, f.pieces
	case awaiting:
		m.checkAmount(f, "awaits", o.total)
	case paid:
		m.checkAmount(f, "is paid with", o.total)
		if o.last[ofOrder] == placed && o.total.Amount > 0 {
			m.violateFact(f, Order, "is paid, but was not awaiting payment")
		}
		if f.lines != o.orderedLines {
			m.violateFact(f, Order, "has other lines than were ordered")
		}
	case cancelled:
		o.cancelCause = f.cause
		if was := o.last[ofOrder] == paid; f.before != was {
			m.violateFact(f, Order, "records was_paid %t after %s", f.before, o.last[ofOrder])
		}
	}
}

func (o *order) applyStock(m *model, f fact) {
	expected := o.reserved
	switch f.step {
	case reserved:
		o.reserved = f.lines
		return
	case committed:
		if f.before {
			o.reserved, expected = f.lines, f.lines
		}
		if held := o.last[ofStock] == reserved; f.before == held {
			m.violateFact(f, Order, "records from_available %t after %s", f.before, o.last[ofStock])
		}
	case returned:
		expected -= o.restocked
	case released, lapsed:
		if o.last[ofStock] != reserved {
			expected = fingerprint(nil)
		}
	case refused:
		return
	}
	if f.lines != expected {
		m.violateFact(f, Order, "moves other lines than were reserved")
	}
}

func (o *order) applyPayment(m *model, f fact) {
	switch f.step {
	case requested:
		o.requested = f.amount
	case captured, unwanted, capturedAgain:
		m.checkAmount(f, "captures", o.requested)
		if f.step != capturedAgain { // which goes back as it came
			o.captured += f.amount.Amount
		}
	case returnedAgain:
		m.checkAmount(f, "refunds", o.requested)
	case refunded: // by an earlier version
		m.checkAmount(f, "refunds", o.requested)
		r := o.refund(events.RefundFor(f.order, 1))
		r.state, r.gives, r.done = refundMade, f.amount.Amount, f.seq
		o.receipt.owes(f)
	}
}

func (m *model) checkAmount(f fact, does string, expected events.Money) {
	if f.amount != expected {
		m.violateFact(f, Money, "%s %s, expected %s", does, f.amount, expected)
	}
}

// placeOf returns where the event of a step with a number is.
func (m *model) placeOf(s step, number uint64) eventlog.Place {
	stream, sequence := m.log.Layout.Place(streamOf[historyOf(s)], number)
	return eventlog.Place{Stream: stream, Sequence: sequence}
}

// violateFact reports a violation at the event of a fact.
func (m *model) violateFact(f fact, check, format string, args ...any) {
	at := m.placeOf(f.step, f.seq)
	m.violate(Violation{Check: check, Stream: at.Stream, Sequence: at.Sequence, Entity: f.entity, Problem: fmt.Sprintf(format, args...)})
}

// encode returns an order as a later audit needs it.
func (o *order) encode(id events.OrderID, b []byte) []byte {
	b = appendText(append(b, isOrder), string(id))
	for _, s := range o.last {
		b = append(b, byte(s))
	}
	b = append(b, byte(o.cancelCause))
	for _, seq := range o.sequences {
		b = binary.AppendUvarint(b, seq)
	}
	b = appendMoney(appendMoney(b, o.total), o.requested)
	b = binary.LittleEndian.AppendUint64(binary.LittleEndian.AppendUint64(b, o.orderedLines), o.reserved)
	b = binary.AppendUvarint(appendPieces(b, o.ordered), uint64(o.captured))
	b = binary.AppendUvarint(binary.AppendUvarint(b, o.restocked), uint64(len(o.refunds)))
	// The streams are read at the same time, so the refunds are in any order.
	slices.SortFunc(o.refunds, func(a, b *refund) int { return strings.Compare(a.id, b.id) })
	for _, r := range o.refunds {
		b = r.encode(b)
	}
	return o.receipt.encode(b)
}

func decodeOrder(r *reader) (id events.OrderID, o *order) {
	o = &order{}
	id = events.OrderID(r.text())
	for h := range o.last {
		o.last[h] = step(r.byte())
	}
	o.cancelCause = step(r.byte())
	for s := range o.sequences {
		o.sequences[s] = r.uint()
	}
	o.total, o.requested = r.money(), r.money()
	o.orderedLines, o.reserved = r.fixed(), r.fixed()
	o.ordered, o.captured, o.restocked = r.pieces(), int64(r.uint()), r.uint()
	for count := r.uint(); count > 0 && r.err == nil; count-- {
		o.refunds = append(o.refunds, decodeRefund(r))
	}
	o.receipt = decodeReceipt(r)
	return id, o
}
