package audit

import (
	"encoding/binary"
	"slices"

	"lonja/events"
	"lonja/kit/eventlog"
)

// books holds the last number in each book, by the book's id.
type books map[string]int64

// apply checks that a number follows the one before.
func (b books) apply(m *model, r eventlog.Record) {
	var number int64
	switch e := r.Event.(type) {
	case events.ReceiptIssued:
		number = e.Number
	case events.ReceiptCredited:
		number = e.Number
	default:
		return
	}
	book := r.Event.EntityID()
	if next := b[book] + 1; number != next {
		m.violateAt(r, Receipts, "has number %d in the book of %s; expected %d", number, book, next)
	}
	b[book] = number
}

// receipt is what is recorded about an order's receipt, and about the refunds that need credit
// notes. Refunds and credit notes are on different streams, so they are compared at the end.
type receipt struct {
	number  uint64
	amount  events.Money
	refunds []repaid // by PAYMENTS
	credits []repaid // by RECEIPTS
}

// repaid is money that was given back.
type repaid struct {
	refund uint64 // hash of the id of the event that refunds
	seq    uint64 // number of the event
	amount events.Money
	number uint64 // of the receipt that is credited
}

// apply adds a fact of RECEIPTS. Before is the number of the event that has issued the order's
// receipt before, 0 for none.
func (x *receipt) apply(m *model, f fact, before uint64) {
	if f.step == credited {
		if slices.ContainsFunc(x.credits, func(c repaid) bool { return c.refund == f.repaid }) {
			m.violateFact(f, Receipts, "is the second credit note of a refund")
		}
		x.credits = append(x.credits, repaid{f.repaid, f.seq, f.amount, f.number})
		return
	}
	if before != 0 {
		m.violateFact(f, Receipts, "has receipt %d, and has had receipt %d before", f.number, x.number)
	}
	x.number, x.amount = f.number, f.amount
}

// owes notes a refund, which needs a credit note.
func (x *receipt) owes(f fact) { x.refunds = append(x.refunds, repaid{f.repaid, f.seq, f.amount, 0}) }

// checkReceipt compares an order's receipt with what was paid, and its credit notes with what was
// refunded. That there is a receipt at all, and only of what was paid, is in the tables of causes
// and effects. It reports whether a reaction has yet to run.
func (m *model) checkReceipt(id events.OrderID, o *order) (underWay bool) {
	if o.sequences[issued] != 0 && o.sequences[placed] != 0 && o.receipt.amount != o.total {
		m.violateOrder(Receipts, id, o, issued, "the receipt is over %s; expected %s", o.receipt.amount, o.total)
	}
	for _, c := range o.receipt.credits {
		if !m.beforeCut(credited, c.seq) {
			continue
		}
		f := fact{step: credited, seq: c.seq, entity: "order " + string(id)}
		if c.number != o.receipt.number {
			m.violateFact(f, Receipts, "the credit note is to receipt %d; expected %d", c.number, o.receipt.number)
		}
		switch i := slices.IndexFunc(o.receipt.refunds, func(r repaid) bool { return r.refund == c.refund }); {
		case i < 0:
			m.violateFact(f, Receipts, "the credit note is to a refund that PAYMENTS does not record")
		case c.amount != o.receipt.refunds[i].amount:
			m.violateFact(f, Receipts, "the credit note is over %s; expected %s", c.amount, o.receipt.refunds[i].amount)
		}
	}
	if o.sequences[paid] == 0 {
		return false // nothing was paid, or too late, so there is no receipt to credit
	}
	for _, r := range o.receipt.refunds {
		at := m.placeOf(refunded, r.seq)
		switch noted := slices.ContainsFunc(o.receipt.credits, func(c repaid) bool { return c.refund == r.refund }); {
		case noted:
		case !m.reactions.ran("receipts-on-payments", at.Stream, at.Sequence):
			underWay = true
		default:
			m.violateFact(fact{step: refunded, seq: r.seq, entity: "order " + string(id)}, Receipts, "refunded, and receipts-on-payments has handled it, but there is no credit note")
		}
	}
	return underWay
}

// encode returns a receipt as a later audit needs it.
func (x *receipt) encode(b []byte) []byte {
	b = appendMoney(binary.AppendUvarint(b, x.number), x.amount)
	for _, all := range [][]repaid{x.refunds, x.credits} {
		b = binary.AppendUvarint(b, uint64(len(all)))
		for _, one := range all {
			b = binary.AppendUvarint(binary.LittleEndian.AppendUint64(b, one.refund), one.seq)
			b = binary.AppendUvarint(appendMoney(b, one.amount), one.number)
		}
	}
	return b
}

func decodeReceipt(r *reader) (x receipt) {
	x.number, x.amount = r.uint(), r.money()
	for _, all := range []*[]repaid{&x.refunds, &x.credits} {
		for n := r.uint(); n > 0 && r.err == nil; n-- {
			*all = append(*all, repaid{r.fixed(), r.uint(), r.money(), r.uint()})
		}
	}
	return x
}
