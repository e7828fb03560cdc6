package audit

import (
	"fmt"
	"maps"
	"slices"

	"lonja/events"
)

// The checks of one order across the streams ORDERS, INVENTORY, PAYMENTS and RECEIPTS.

// causes lists what must be recorded on another stream for an effect to be legal.
// Captures are not listed: checkMoney checks what they require and what requires
// them.
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
	{issued, paid},
	{returnedAgain, capturedAgain},
}

// causeOfReason maps the reason of a cancellation that no person commanded to the
// step that must have caused it.
var causeOfReason = map[string]step{
	events.OutOfStock:         refused,
	events.ReservationExpired: lapsed,
	events.PaymentWasDeclined: declined,
	events.PaymentHasExpired:  expired,
}

// effects lists the steps in which a reaction that has run may leave another
// stream's history. Several outcomes are possible, because events can overtake
// each other.
var effects = []struct {
	cause    step
	consumer string
	leaves   []step
}{
	{placed, "inventory-on-orders", []step{reserved, refused, committed, released, lapsed, returned}},
	{paid, "inventory-on-orders", []step{committed, refused, released, returned}},
	{paid, "receipts-on-orders", []step{issued, credited}},
	{cancelled, "inventory-on-orders", []step{refused, released, lapsed, returned}},
	{reserved, "orders-on-stock", []step{awaiting, paid, shipped, delivered, cancelled}},
	{refused, "orders-on-stock", []step{cancelled}},
	{lapsed, "orders-on-stock", []step{paid, shipped, delivered, cancelled}},
	{awaiting, "payments-on-orders", []step{requested, captured, unwanted, declined, expired, voided, refunded}},
	{cancelled, "payments-on-orders", []step{voided, declined, refunded, captured, unwanted}}, // checkMoney decides about the last two
	{captured, "orders-on-payments", []step{paid, shipped, delivered, cancelled}},
	{declined, "orders-on-payments", []step{cancelled}},
	{expired, "orders-on-payments", []step{paid, shipped, delivered, cancelled}},
}

// checkOrders checks every order across its streams, and counts the orders by status. It runs
// after the last event was applied. Keep gets what a later audit needs of each order; it may be
// nil.
func (m *model) checkOrders(keep func([]byte) error) error {
	m.report.Orders = map[string]int{}
	return m.facts.eachPart(func(records [][]byte) error {
		all, err := m.foldOrders(records)
		if err != nil {
			return err
		}
		for _, id := range slices.Sorted(maps.Keys(all)) {
			m.checkOrder(id, all[id])
			if keep == nil {
				continue
			}
			if err := keep(all[id].encode(id, nil)); err != nil {
				return err
			}
		}
		return nil
	})
}

// foldOrders returns the orders that the records of a partition are about.
func (m *model) foldOrders(records [][]byte) (map[events.OrderID]*order, error) {
	all := map[events.OrderID]*order{}
	for _, record := range records {
		r := &reader{data: record}
		if r.byte() == isOrder {
			id, o := decodeOrder(r)
			all[id] = o
		} else {
			f := decodeFact(r)
			if all[f.order] == nil {
				all[f.order] = &order{}
			}
			all[f.order].apply(m, f)
		}
		if r.err != nil {
			return nil, r.err
		}
	}
	return all, nil
}

// checkOrder checks an order across its streams.
func (m *model) checkOrder(id events.OrderID, o *order) {
	m.checkCauses(id, o)
	m.checkAmounts(id, o)
	underWay := m.checkEffects(id, o)
	underWay = m.checkReceipt(id, o) || underWay
	underWay = m.checkRefunds(id, o) || underWay
	if m.checkMoney(id, o) || underWay {
		m.report.UnderWay++
		m.violateIfSettled(Violation{Entity: "order " + string(id), Problem: "a reaction to one of its events has not run yet"})
	}
	if status := o.last[ofOrder]; status != nothing {
		m.report.Orders[status.String()]++
	}
}

func (m *model) checkCauses(compactID events.OrderID, o *order) {
	for _, c := range causes {
		m.checkCause(compactID, o, c.effect, c.cause)
	}
	if o.cancelCause != nothing {
		m.checkCause(compactID, o, cancelled, o.cancelCause)
	}
}

func (m *model) checkCause(compactID events.OrderID, o *order, effect, cause step) {
	if o.sequences[effect] != 0 && o.sequences[cause] == 0 && m.beforeCut(effect, o.sequences[effect]) {
		m.violateOrder(Order, compactID, o, effect, "%s, but %s does not record that it was %s", effect, streamOf[historyOf(cause)], cause)
	}
}

// checkEffects checks that every cause has its effect. It reports whether a
// reaction has yet to run.
func (m *model) checkEffects(compactID events.OrderID, o *order) (underWay bool) {
	for _, e := range effects {
		if o.sequences[e.cause] == 0 {
			continue
		}
		if !m.acknowledge(e.consumer, e.cause, o) {
			underWay = true
			continue
		}
		if e.cause == awaiting && o.total.Amount == 0 {
			continue // recorded by an older version: nobody is asked to pay nothing
		}
		if e.cause == cancelled && e.consumer == "inventory-on-orders" && o.last[ofStock] == committed && o.restocked == o.reserved && o.restocked != 0 {
			continue // all of it came back with refunds
		}
		if left := o.last[historyOf(e.leaves[0])]; !slices.Contains(e.leaves, left) {
			m.violateOrder(Order, compactID, o, e.cause, "%s, and %s has handled it, but %s left it at %s; expected %s",
				e.cause, e.consumer, streamOf[historyOf(e.leaves[0])], left, oneOf(e.leaves))
		}
	}
	return underWay
}

// checkAmounts compares the amounts and lines that the services record for an order.
func (m *model) checkAmounts(compactID events.OrderID, o *order) {
	if o.sequences[placed] == 0 {
		return // already reported
	}
	if o.sequences[requested] != 0 && o.requested != o.total {
		m.violateOrder(Money, compactID, o, requested, "%s are requested; expected the order's total of %s", o.requested, o.total)
	}
	if s := max(o.sequences[reserved], o.sequences[committed]); s != 0 && o.reserved != o.orderedLines {
		at := m.placeOf(reserved, s)
		m.violate(Violation{Check: Order, Stream: at.Stream, Sequence: at.Sequence, Entity: "order " + string(compactID),
			Problem: "the reserved lines differ from the ordered lines"})
	}
}

// checkMoney checks that the captured amount less the refunded amount is what the
// shop is owed: the total of a paid order, nothing for a cancelled one. It reports
// whether a reaction must run before that can be checked.
func (m *model) checkMoney(compactID events.OrderID, o *order) (underWay bool) {
	taken := max(o.sequences[captured], o.sequences[unwanted])
	underWay = o.sequences[capturedAgain] != 0 && o.sequences[returnedAgain] == 0 && o.sequences[flagged] == 0
	switch status := o.last[ofOrder]; status {
	case paid, shipped, delivered:
		if taken == 0 && o.total.Amount > 0 && m.beforeCut(status, o.sequences[status]) {
			m.violateOrder(Money, compactID, o, status, "%s, but nothing was captured; expected %s", status, o.total)
		}
	case cancelled:
		made, open, failed := o.moneyBack()
		switch last := o.last[ofPayment]; {
		case made >= o.captured:
		case open > 0, !m.acknowledge("payments-on-orders", cancelled, o), o.sequences[unwanted] != 0 && !m.acknowledge("payments-on-captures", unwanted, o):
			return true
		case made+failed >= o.captured: // it is shown as failed, and somebody has to try it again
		case made == 0:
			m.violateOrder(Money, compactID, o, last, "cancelled, but %s were captured and nothing was refunded; expected a full refund", o.requested)
		default:
			m.violateOrder(Money, compactID, o, last, "cancelled, but of %s captured only %d in minor units were refunded; expected a full refund", o.requested, made)
		}
	}
	return underWay
}

// beforeCut reports whether the event of a step with a number is before its stream's cut.
func (m *model) beforeCut(s step, number uint64) bool {
	at := m.placeOf(s, number)
	return at.Sequence <= m.cuts[at.Stream].effects
}

// handled reports whether a consumer's reaction to a step has run.
func (m *model) acknowledge(consumer string, s step, o *order) bool {
	at := m.placeOf(s, o.sequences[s])
	return m.reactions.ran(consumer, at.Stream, at.Sequence)
}

// violateOrder reports a violation of an order at one of its steps.
func (m *model) violateOrder(check string, compactID events.OrderID, o *order, at step, format string, args ...any) {
	place := m.placeOf(at, o.sequences[at])
	m.violate(Violation{Check: check, Stream: place.Stream, Sequence: place.Sequence,
		Entity: "order " + string(compactID), Problem: fmt.Sprintf(format, args...)})
}
