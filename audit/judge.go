package audit

import (
	"fmt"
	"maps"
	"slices"

	"lonja/events"
)

// What the services' histories of one order owe each other.

// causes says what must have happened before an effect on another stream can
// have. What a capture needs, and what needs one, is money's own check.
var causes = []struct{ effect, cause step }{
	{reserved, placed},
	{refused, placed},
	{committed, paid},
	{released, cancelled},
	{returned, cancelled},
	{awaiting, reserved},
	{paid, reserved},
	{shipped, committed},
	{requested, awaiting},
	{voided, cancelled},
	{refunded, cancelled},
}

// because says what a cancellation's reason speaks of, where nobody wished it.
var because = map[string]step{
	events.OutOfStock:         refused,
	events.ReservationExpired: lapsed,
	events.PaymentWasDeclined: declined,
	events.PaymentHasExpired:  expired,
}

// effects says where a reaction that has run leaves another history. There may
// be several outcomes, since events may overtake each other.
var effects = []struct {
	cause    step
	consumer string
	leaves   []step
}{
	{placed, "inventory-on-orders", []step{reserved, refused, committed, released, lapsed, returned}},
	{paid, "inventory-on-orders", []step{committed, refused, released, returned}},
	{cancelled, "inventory-on-orders", []step{refused, released, lapsed, returned}},
	{reserved, "orders-on-stock", []step{awaiting, paid, shipped, delivered, cancelled}},
	{refused, "orders-on-stock", []step{cancelled}},
	{lapsed, "orders-on-stock", []step{paid, shipped, delivered, cancelled}},
	{awaiting, "payments-on-orders", []step{requested, captured, unwanted, declined, expired, voided, refunded}},
	{cancelled, "payments-on-orders", []step{voided, declined, refunded, captured, unwanted}}, // the last two are money's check
	{captured, "orders-on-payments", []step{paid, shipped, delivered, cancelled}},
	{declined, "orders-on-payments", []step{cancelled}},
	{expired, "orders-on-payments", []step{paid, shipped, delivered, cancelled}},
}

// judge judges every order, once all is entered.
func (b *books) judge() {
	b.report.Orders = map[string]int{}
	for _, id := range slices.Sorted(maps.Keys(b.stories)) {
		t := b.stories[id]
		b.judgeCauses(id, t)
		b.judgeAmounts(id, t)
		underWay := b.judgeEffects(id, t)
		if b.judgeMoney(id, t) || underWay {
			b.report.UnderWay++
			b.unsettled(Violation{Entity: "order " + string(id), Problem: "a reaction to one of its facts has not run yet"})
		}
		if status := t.last[ofOrder]; status != nothing {
			b.report.Orders[status.String()]++
		}
	}
}

func (b *books) judgeCauses(id events.OrderID, t *story) {
	for _, c := range causes {
		b.judgeCause(id, t, c.effect, c.cause)
	}
	if t.because != nothing {
		b.judgeCause(id, t, cancelled, t.because)
	}
}

func (b *books) judgeCause(id events.OrderID, t *story, effect, cause step) {
	if t.at[effect] != 0 && t.at[cause] == 0 && b.judged(historyOf(effect), t.at[effect]) {
		b.broken(Order, id, t, effect, "%s, but %s has no fact that it was %s", effect, streamOf[historyOf(cause)], cause)
	}
}

// judgeEffects tells whether a reaction has yet to run.
func (b *books) judgeEffects(id events.OrderID, t *story) (underWay bool) {
	for _, e := range effects {
		if t.at[e.cause] == 0 {
			continue
		}
		if !b.handled(e.consumer, e.cause, t) {
			underWay = true
			continue
		}
		if e.cause == awaiting && t.worth.Amount == 0 {
			continue // an older program let it await its payment, which nobody is asked for
		}
		if left := t.last[historyOf(e.leaves[0])]; !slices.Contains(e.leaves, left) {
			b.broken(Order, id, t, e.cause, "%s, and %s has handled that, but %s left it at %s; expected %s",
				e.cause, e.consumer, streamOf[historyOf(e.leaves[0])], left, oneOf(e.leaves))
		}
	}
	return underWay
}

// judgeAmounts compares what the services say that an order is about.
func (b *books) judgeAmounts(id events.OrderID, t *story) {
	if t.at[placed] == 0 {
		return // told already
	}
	if t.at[requested] != 0 && t.asked != t.worth {
		b.broken(Money, id, t, requested, "%s are asked for; the order is worth %s", t.asked, t.worth)
	}
	if s := max(t.at[reserved], t.at[committed]); s != 0 && t.kept != t.ordered {
		b.violate(Violation{Check: Order, Stream: streamOf[ofGoods], Sequence: s, Entity: "order " + string(id),
			Problem: "the lines that were set aside are not those that were ordered"})
	}
}

// judgeMoney checks that captured less refunded is what the order is worth to
// the shop: its total once it is paid, nothing when it is cancelled. It tells
// whether that cannot be said yet.
func (b *books) judgeMoney(id events.OrderID, t *story) (underWay bool) {
	taken := max(t.at[captured], t.at[unwanted])
	switch status := t.last[ofOrder]; status {
	case paid, shipped, delivered:
		if taken == 0 && t.worth.Amount > 0 && b.judged(ofOrder, t.at[status]) {
			b.broken(Money, id, t, status, "%s, but no money was captured; expected %s", status, t.worth)
		}
	case cancelled:
		last := t.last[ofMoney]
		if last != captured && last != unwanted {
			break
		}
		if !b.handled("payments-on-orders", cancelled, t) || last == unwanted && !b.handled("payments-on-payments", unwanted, t) {
			return true
		}
		b.broken(Money, id, t, last, "cancelled, yet %s were captured and nothing was refunded; expected all of it", t.asked)
	}
	return false
}

// judged tells whether a place on a history's stream is before the cut.
func (b *books) judged(h history, seq uint64) bool { return seq <= b.cuts[streamOf[h]].judged }

// handled tells whether a consumer's reaction to a step has run.
func (b *books) handled(consumer string, s step, t *story) bool {
	return b.reactions.ran(consumer, streamOf[historyOf(s)], t.at[s])
}

// broken is a violation of what the histories of an order owe each other.
func (b *books) broken(check string, id events.OrderID, t *story, at step, format string, args ...any) {
	b.violate(Violation{Check: check, Stream: streamOf[historyOf(at)], Sequence: t.at[at],
		Entity: "order " + string(id), Problem: fmt.Sprintf(format, args...)})
}
