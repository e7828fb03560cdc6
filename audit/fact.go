package audit

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"sync"

	"lonja/events"
	"lonja/kit/eventlog"
)

// fact is what one event says about its order, as far as the checks of the whole order need
// it. Facts are collected while the streams are read, and checked order by order afterwards.
type fact struct {
	order  events.OrderID
	step   step
	seq    uint64       // its number on the partitions of its stream
	entity string       // the event's, as in "payment pay_1"
	amount events.Money // placed, awaited, paid, requested, captured, refunded, issued or credited
	number uint64       // of the receipt that is issued or credited
	repaid uint64       // hash of the id of the event that refunds, or of the one that is credited
	lines  uint64       // fingerprint of the lines that it orders or moves, or that go back into stock
	before bool         // that the order was paid, that the goods were available and not reserved, or that a refund is partial
	cause  step         // what a cancellation names as its cause; nothing when a person commanded it

	pieces []pieces        // as ordered or refunded
	refund events.RefundID // that it is about; "" for none, and in events of earlier versions
	rest   uint64          // fingerprint of the lines that the customer keeps
}

// factOf returns what an event says about its order.
func factOf(r eventlog.Record, event events.OfOrder) fact {
	f := fact{order: event.Order(), step: stepOf(event), seq: r.Number, entity: entityOf(r)}
	switch e := r.Event.(type) {
	case events.OrderPlaced:
		f.amount, f.lines = e.Total, fingerprint(events.LinesOf(e.Items))
		f.pieces = piecesOf(e.Items)
	case events.OrderAwaitingPayment:
		f.amount = e.Amount
	case events.OrderPaid:
		f.amount, f.lines = e.Amount, fingerprint(e.Lines)
	case events.OrderCancelled:
		f.before, f.cause = e.WasPaid, causeOfReason[e.Reason]
	case events.StockReserved:
		f.lines = fingerprint(e.Lines)
	case events.StockCommitted:
		f.lines, f.before = fingerprint(e.Lines), e.FromAvailable
	case events.StockReturned:
		f.lines = fingerprint(e.Lines)
	case events.StockReleased:
		f.lines = fingerprint(e.Lines)
	case events.PaymentRequested:
		f.amount = e.Amount
	case events.PaymentCaptured:
		f.amount = e.Amount
	case events.PaymentRefunded:
		f.amount, f.refund, f.before, f.repaid = e.Amount, e.RefundID, e.Partial, hashOf(r.ID)
	case events.ReceiptIssued:
		f.amount, f.number = e.Amount, uint64(e.Number)
	case events.ReceiptCredited:
		f.amount, f.number, f.repaid = e.Amount, uint64(e.Receipt), hashOf(e.Refund)
	case events.PaymentRefundRequested:
		f.amount, f.refund = e.Amount, e.RefundID
	case events.PaymentRefundFailed:
		f.amount, f.refund = e.Amount, e.RefundID
	case events.OrderRefundRequested:
		f.amount, f.refund, f.pieces, f.lines = e.Amount, e.RefundID, refundedPieces(e.Lines), fingerprint(e.Restocked())
	case events.OrderRefundFailed:
		f.amount, f.refund = e.Amount, e.RefundID
	case events.StockRestocked:
		f.refund, f.lines, f.rest = e.RefundID, fingerprint(e.Lines), fingerprint(e.Kept)
	}
	return f
}

// The kinds of records about orders.
const (
	isFact  = 'f'
	isOrder = 'o' // what an earlier audit knew
)

func (f fact) encode(b []byte) []byte {
	b = appendText(append(b, isFact), string(f.order))
	b = append(b, byte(f.step), byte(f.cause), 0)
	if f.before {
		b[len(b)-1] = 1
	}
	b = binary.AppendUvarint(b, f.seq)
	entity := f.entity
	if entity == expectedEntity(f.step, f.order) {
		entity = "" // most are
	}
	b = appendText(b, entity)
	b = appendMoney(b, f.amount)
	if historyOf(f.step) == ofReceipt {
		b = binary.AppendUvarint(b, f.number)
	}
	b = binary.LittleEndian.AppendUint64(b, f.lines^f.repaid) // none has both
	if b = appendText(b, string(f.refund)); f.refund != "" {
		b = binary.LittleEndian.AppendUint64(b, f.rest)
	}
	return appendPieces(b, f.pieces)
}

// expectedEntity is what the entity of an order's event is called, if it is the order's own.
func expectedEntity(s step, of events.OrderID) string {
	if historyOf(s) == ofPayment {
		return "payment " + string(events.PaymentFor(of))
	}
	return "order " + string(of)
}

func decodeFact(r *reader) (f fact) {
	f.order = events.OrderID(r.text())
	f.step, f.cause, f.before = step(r.byte()), step(r.byte()), r.byte() == 1
	f.seq = r.uint()
	if f.entity = r.text(); f.entity == "" {
		f.entity = expectedEntity(f.step, f.order)
	}
	f.amount = r.money()
	if historyOf(f.step) == ofReceipt {
		f.number = r.uint()
	}
	if f.step == refunded || f.step == credited {
		f.repaid = r.fixed()
	} else {
		f.lines = r.fixed()
	}
	if f.refund = events.RefundID(r.text()); f.refund != "" {
		f.rest = r.fixed()
	}
	f.pieces = r.pieces()
	return f
}

// keyOf is the key of an order's records.
func keyOf(of events.OrderID) uint64 { return hashOf(string(of)) }

func appendText(b []byte, s string) []byte {
	return append(binary.AppendUvarint(b, uint64(len(s))), s...)
}

func appendMoney(b []byte, m events.Money) []byte {
	return appendText(binary.AppendVarint(b, m.Amount), m.Currency)
}

// reader decodes a record. After one that is cut off, err is set and everything is zero.
type reader struct {
	data []byte
	err  error
}

func (r *reader) take(n uint64) []byte {
	if r.err != nil || n > uint64(len(r.data)) {
		r.err, r.data = errCutOff, nil
		return nil
	}
	taken := r.data[:n]
	r.data = r.data[n:]
	return taken
}

func (r *reader) byte() byte {
	if b := r.take(1); b != nil {
		return b[0]
	}
	return 0
}

func (r *reader) uint() uint64 {
	n, used := binary.Uvarint(r.data)
	if used <= 0 {
		r.err = errCutOff
		return 0
	}
	r.take(uint64(used))
	return n
}

func (r *reader) fixed() uint64 {
	if b := r.take(8); b != nil {
		return binary.LittleEndian.Uint64(b)
	}
	return 0
}

func (r *reader) text() string { return string(bytes.Clone(r.take(r.uint()))) }

func (r *reader) money() events.Money {
	n, used := binary.Varint(r.data)
	if used <= 0 {
		r.err = errCutOff
		return events.Money{}
	}
	r.take(uint64(used))
	return events.Money{Amount: n, Currency: r.text()}
}

// hashes caches the hash of each SKU, of which there are few.
var hashes sync.Map

// fingerprint hashes the lines of an order. It does not depend on their order, and
// it is additive: two lines of a SKU hash like one line with the sum. It is the same in every
// audit.
func fingerprint(lines []events.Quantity) (sum uint64) {
	for _, l := range lines {
		h, known := hashes.Load(l.SKU)
		if !known {
			h = hashOf(string(l.SKU))
			hashes.Store(l.SKU, h)
		}
		sum += h.(uint64) * uint64(l.Quantity)
	}
	return sum
}

func hashOf(s string) uint64 {
	sum := sha256.Sum256([]byte(s))
	return binary.LittleEndian.Uint64(sum[:])
}
