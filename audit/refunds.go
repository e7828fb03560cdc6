package audit

import (
	"encoding/binary"
	"fmt"
	"strings"

	"lonja/events"
)

// Refunds run beside the three histories of an order: several of them may be on their way at once. Each is
// followed by its id through all streams.

// pieces are a number of pieces of a SKU, and their price each (as ordered) or together (as refunded).
type pieces struct {
	sku     uint32 // hash
	n       int64
	amount  int64
	restock bool
}

// refundState is what PAYMENTS records of a refund at last.
type refundState uint8

const (
	refundUnknown refundState = iota
	refundOpen
	refundMade
	refundFailed
)

// refund is what the services record about one refund of an order. The numbers are those of its last events, 0
// for none.
type refund struct {
	id                   string
	asked, gaveUp        uint64 // on ORDERS
	opened, unmade, done uint64 // on PAYMENTS
	restocked            uint64 // on INVENTORY
	asks                 int64  // the amount on ORDERS
	gives                int64  // the amount on PAYMENTS
	active               bool   // ORDERS counts it
	state                refundState
	lines                []pieces
	restock              uint64 // fingerprint of the pieces that go back into stock
	came                 uint64 // fingerprint of those that did
}

// refund returns the refund with an id, a new one if need be.
func (o *order) refund(id events.RefundID) *refund {
	for _, r := range o.refunds {
		if r.id == string(id) {
			return r
		}
	}
	r := &refund{id: string(id)}
	o.refunds = append(o.refunds, r)
	return r
}

// moneyBack returns how much went back, how much is on its way, and how much failed.
func (o *order) moneyBack() (made, open, failed int64) {
	for _, r := range o.refunds {
		switch r.state {
		case refundMade:
			made += r.gives
		case refundOpen:
			open += r.gives
		case refundFailed:
			failed += r.gives
		}
	}
	return made, open, failed
}

// applyRefund adds a fact about a refund.
func (o *order) applyRefund(m *model, f fact) {
	h := historyOf(f.step)
	r := o.refund(f.refund)
	if before := o.last[h]; !allowed(before, f.step) && !(f.step == refunded && allowed(before, refundOpened)) {
		m.violateFact(f, Transitions, "%s after %s; expected after %s", f.step, before, oneOf(predecessors[f.step]))
	}
	switch h {
	case ofOrder:
		r.asks = m.sameAmount(f, r.asks)
	case ofPayment:
		r.gives = m.sameAmount(f, r.gives)
	}
	switch f.step {
	case refundAsked:
		o.applyAsked(m, f, r)
	case refundGivenUp:
		r.active, r.gaveUp = false, f.seq
	case refundOpened:
		made, open, _ := o.moneyBack()
		if r.state == refundOpen || r.state == refundMade {
			m.violateFact(f, Transitions, "%s is requested, but was before", r.id)
		} else if made+open+f.amount.Amount > o.captured {
			m.violateFact(f, Money, "%s gives back %s, but of %d captured, %d are given back or will be", r.id, f.amount, o.captured, made+open)
		}
		r.state, r.opened = refundOpen, f.seq
	case refundUnmade:
		r.state, r.unmade = refundFailed, f.seq
	case refunded:
		o.applyMade(m, f, r)
	case restocked:
		o.applyRestocked(m, f, r)
	}
	if o.sequences[f.step] = f.seq; f.step == refunded {
		o.last[h] = refunded
	}
}

// sameAmount checks that an event names the amount that those before it named, if any did, and returns it.
func (m *model) sameAmount(f fact, before int64) int64 {
	if before != 0 && before != f.amount.Amount {
		m.violateFact(f, Money, "%s of %s is about %s, expected %d in minor units", f.step, f.refund, f.amount, before)
	}
	return f.amount.Amount
}

func (o *order) applyAsked(m *model, f fact, r *refund) {
	if r.active {
		m.violateFact(f, Transitions, "%s is requested, but was before and has not failed", r.id)
	}
	if o.last[ofOrder] == cancelled && r.gaveUp == 0 {
		m.violateFact(f, Transitions, "%s is requested although the order is cancelled", r.id)
	}
	r.active, r.asked, r.lines, r.restock = true, f.seq, f.pieces, f.lines
	sum := int64(0)
	for _, other := range o.refunds {
		if other.active {
			sum += other.asks
		}
	}
	if sum > o.total.Amount {
		m.violateFact(f, Money, "%s makes the refunds %d in minor units, more than the total of %s", r.id, sum, o.total)
	}
	for _, line := range r.lines {
		o.checkPieces(m, f, line)
	}
}

// checkPieces checks that refunded pieces cost what they did in the order, and are no more than were ordered.
func (o *order) checkPieces(m *model, f fact, line pieces) {
	if o.sequences[placed] == 0 {
		return // already reported
	}
	ordered, refunded, right := int64(0), int64(0), false
	for _, item := range o.ordered {
		if item.sku == line.sku {
			ordered += item.n
			right = right || item.amount*line.n == line.amount
		}
	}
	for _, r := range o.refunds {
		for _, other := range r.lines {
			if r.active && other.sku == line.sku {
				refunded += other.n
			}
		}
	}
	if !right {
		m.violateFact(f, Money, "%s refunds %d in minor units for %d pieces that did not cost that", f.refund, line.amount, line.n)
	}
	if refunded > ordered {
		m.violateFact(f, Order, "%s makes the refunded pieces of a product %d, but %d were ordered", f.refund, refunded, ordered)
	}
}

func (o *order) applyMade(m *model, f fact, r *refund) {
	if r.state != refundOpen {
		m.violateFact(f, Transitions, "%s is refunded, but was not requested before", r.id)
	}
	r.state, r.done = refundMade, f.seq
	o.receipt.owes(f)
	if made, _, _ := o.moneyBack(); f.before != (made < o.captured) {
		m.violateFact(f, Money, "%s says partial %t, but %d of %d captured went back", r.id, f.before, made, o.captured)
	}
}

func (o *order) applyRestocked(m *model, f fact, r *refund) {
	if r.restocked != 0 {
		m.violateFact(f, Once, "the pieces of %s came back before", r.id)
	}
	r.restocked = f.seq
	if o.restocked += f.lines; f.rest != o.reserved-o.restocked {
		m.violateFact(f, Order, "says that the customer kept other pieces than did not come back")
	}
	r.came = f.lines
}

// checkRefunds compares what the streams record of each refund. It reports whether a reaction or the provider
// has yet to do something.
func (m *model) checkRefunds(id events.OrderID, o *order) (underWay bool) {
	for _, r := range o.refunds {
		waits := m.checkRequest(id, o, r)
		underWay = m.checkRestock(id, o, r) || waits || underWay
	}
	return underWay
}

func (m *model) checkRequest(id events.OrderID, o *order, r *refund) (underWay bool) {
	violate := func(at step, number uint64, format string, args ...any) {
		place := m.placeOf(at, number)
		m.violate(Violation{Check: Order, Stream: place.Stream, Sequence: place.Sequence, Entity: "order " + string(id),
			Problem: r.id + " " + fmt.Sprintf(format, args...)})
	}
	if r.asked == 0 {
		m.checkAutomatic(id, o, r)
	} else if r.state != refundUnknown && r.asks != r.gives {
		violate(refundAsked, r.asked, "is %d in minor units, but PAYMENTS records %d", r.asks, r.gives)
	}
	noted := r.unmade == 0 || m.ran("orders-on-payments", refundUnmade, r.unmade)
	switch {
	case r.state == refundOpen && (r.asked == 0 || r.active):
		return true
	case r.state == refundFailed && !noted:
		return true
	case r.state == refundFailed && r.gaveUp == 0:
		violate(refundUnmade, r.unmade, "failed, and orders-on-payments has handled it, but ORDERS does not record it")
	case r.active && r.state != refundMade && !m.ran("payments-on-orders", refundAsked, r.asked):
		return true
	case r.active && r.state == refundUnknown:
		violate(refundAsked, r.asked, "is requested, and payments-on-orders has handled it, but PAYMENTS does not record it")
	case r.active && r.state == refundFailed:
		violate(refundUnmade, r.unmade, "failed, and everybody has handled it, but ORDERS still counts it")
	case r.gaveUp != 0 && r.unmade == 0 && m.beforeCut(refundGivenUp, r.gaveUp):
		violate(refundGivenUp, r.gaveUp, "failed, but PAYMENTS does not record that")
	case r.asked != 0 && !r.active && r.state == refundMade && m.beforeCut(refunded, r.done):
		violate(refunded, r.done, "was made, but ORDERS records that it failed")
	}
	return false
}

// checkAutomatic checks a refund that ORDERS does not request: its order is cancelled.
func (m *model) checkAutomatic(id events.OrderID, o *order, r *refund) {
	at, number := refunded, r.done
	if r.opened != 0 && r.done == 0 {
		at, number = refundOpened, r.opened
	}
	if number == 0 || !m.beforeCut(at, number) {
		return
	}
	place := m.placeOf(at, number)
	v := Violation{Check: Order, Stream: place.Stream, Sequence: place.Sequence, Entity: "order " + string(id)}
	switch {
	case o.sequences[cancelled] == 0:
		v.Problem = fmt.Sprintf("%s, but ORDERS does not record that it was %s", at, cancelled)
	case !strings.HasPrefix(r.id, string(events.RefundFor(id, 1))):
		v.Problem = fmt.Sprintf("%s, but ORDERS does not record that %s was requested", at, r.id)
	default:
		return
	}
	m.violate(v)
}

// checkRestock checks that the pieces of a refund came back, unless they came back with a cancellation.
func (m *model) checkRestock(id events.OrderID, o *order, r *refund) (underWay bool) {
	switch {
	case r.restocked != 0 && r.asked == 0 && m.beforeCut(restocked, r.restocked):
		m.violateOrder(Order, id, o, restocked, "%s, but ORDERS does not record that %s was requested", restocked, r.id)
	case r.restocked != 0 && r.asked != 0 && r.came != r.restock:
		m.violateOrder(Order, id, o, restocked, "other pieces came back than %s says", r.id)
	case r.restock == 0 || r.restocked != 0 || o.last[ofStock] == refused || o.last[ofStock] == returned:
	case !m.ran("inventory-on-orders", refundAsked, r.asked):
		return true
	case o.last[ofStock] == committed || o.last[ofStock] == restocked:
		m.violateOrder(Order, id, o, refundAsked, "inventory-on-orders has handled %s, but its pieces did not come back", r.id)
	}
	return false
}

// ran reports whether a consumer's reaction to the event of a step with a number has run.
func (m *model) ran(consumer string, s step, number uint64) bool {
	at := m.placeOf(s, number)
	return m.reactions.ran(consumer, at.Stream, at.Sequence)
}

// linesAddUp reports whether the lines of a refund add up to its amount.
func linesAddUp(e events.OrderRefundRequested) bool {
	sum := int64(0)
	for _, line := range e.Lines {
		sum += line.Amount.Amount
	}
	return len(e.Lines) == 0 || sum == e.Amount.Amount
}

func piecesOf(items []events.OrderItem) []pieces {
	all := make([]pieces, len(items))
	for i, item := range items {
		all[i] = pieces{sku: uint32(hashOf(string(item.SKU))), n: item.Quantity, amount: item.UnitPrice.Amount}
	}
	return all
}

func refundedPieces(lines []events.RefundLine) []pieces {
	all := make([]pieces, len(lines))
	for i, line := range lines {
		all[i] = pieces{uint32(hashOf(string(line.SKU))), line.Quantity, line.Amount.Amount, line.Restock}
	}
	return all
}

func appendPieces(b []byte, all []pieces) []byte {
	b = binary.AppendUvarint(b, uint64(len(all)))
	for _, p := range all {
		b = binary.LittleEndian.AppendUint32(b, p.sku)
		n := uint64(p.n) << 1
		if p.restock {
			n |= 1
		}
		b = binary.AppendUvarint(binary.AppendUvarint(b, n), uint64(p.amount))
	}
	return b
}

func (r *reader) pieces() []pieces {
	count := r.uint()
	var all []pieces
	for range count {
		p := pieces{}
		if b := r.take(4); b != nil {
			p.sku = binary.LittleEndian.Uint32(b)
		}
		n := r.uint()
		p.n, p.restock, p.amount = int64(n>>1), n&1 == 1, int64(r.uint())
		if r.err != nil {
			return nil
		}
		all = append(all, p)
	}
	return all
}

func (r *refund) encode(b []byte) []byte {
	b = appendText(b, r.id)
	for _, n := range []uint64{r.asked, r.gaveUp, r.opened, r.unmade, r.done, r.restocked, uint64(r.asks), uint64(r.gives), r.restock, r.came} {
		b = binary.AppendUvarint(b, n)
	}
	active := byte(0)
	if r.active {
		active = 1
	}
	return appendPieces(append(b, active, byte(r.state)), r.lines)
}

func decodeRefund(in *reader) *refund {
	r := &refund{id: in.text()}
	for _, n := range []*uint64{&r.asked, &r.gaveUp, &r.opened, &r.unmade, &r.done, &r.restocked} {
		*n = in.uint()
	}
	r.asks, r.gives, r.restock, r.came = int64(in.uint()), int64(in.uint()), in.uint(), in.uint()
	r.active, r.state = in.byte() == 1, refundState(in.byte())
	r.lines = in.pieces()
	return r
}
