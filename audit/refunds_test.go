package audit

import (
	"testing"

	"lonja/events"
)

func asks(id events.RefundID, pence int64, lines ...events.RefundLine) events.Event {
	return events.OrderRefundRequested{OrderID: "ord_1", RefundID: id, Amount: gbp(pence), Lines: lines}
}

func oneLantern(pence int64) events.RefundLine {
	return events.RefundLine{SKU: "71053", Quantity: 1, Restock: true, Amount: gbp(pence)}
}

func askFails(id events.RefundID, pence int64) events.Event {
	return events.OrderRefundFailed{OrderID: "ord_1", RefundID: id, Amount: gbp(pence)}
}

func opens(id events.RefundID, pence int64) events.Event {
	return events.PaymentRefundRequested{PaymentID: "pay_1", OrderID: "ord_1", RefundID: id, Amount: gbp(pence)}
}

func makes(id events.RefundID, pence int64, partial bool) events.Event {
	return events.PaymentRefunded{PaymentID: "pay_1", OrderID: "ord_1", RefundID: id, Amount: gbp(pence), Partial: partial}
}

func refuses(id events.RefundID, pence int64) events.Event {
	return events.PaymentRefundFailed{PaymentID: "pay_1", OrderID: "ord_1", RefundID: id, Amount: gbp(pence), Detail: "no"}
}

func comesBack(id events.RefundID, kept int64, earlier ...events.RefundID) events.Event {
	e := events.StockRestocked{Location: "main", OrderID: "ord_1", RefundID: id, Lines: lanterns(1), Earlier: earlier}
	if kept > 0 {
		e.Kept = lanterns(kept)
	}
	return e
}

// withReceipts returns events with what receipts makes of them.
func withReceipts(recorded []events.Event) (all []events.Event) {
	credits := int64(0)
	for _, event := range recorded {
		all = append(all, event)
		switch e := event.(type) {
		case events.OrderPaid:
			all = append(all, receiptIssued)
		case events.PaymentRefunded:
			credits++
			all = append(all, events.ReceiptCredited{Number: credits, OrderID: e.OrderID, Receipt: 1, Refund: lastRefund, Amount: e.Amount})
		}
	}
	return all
}

func TestRefunds_LegalHistories(t *testing.T) {
	cancelledPaid := orderCancelled(events.CancelledByStaff, true)
	for name, given := range map[string][]events.Event{
		"in parts, and then the rest": extend(bought, asks("ref_1", 339, oneLantern(339)), opens("ref_1", 339), comesBack("ref_1", 1), makes("ref_1", 339, true), orderShipped,
			asks("ref_2", 339), opens("ref_2", 339), makes("ref_2", 339, false), orderDelivered),
		"refused, and tried again": extend(bought, asks("ref_1", 339), opens("ref_1", 339), refuses("ref_1", 339), askFails("ref_1", 339),
			asks("ref_1", 339), opens("ref_1", 339), makes("ref_1", 339, true)),
		"the rest with a cancellation": extend(bought, asks("ref_1", 339, oneLantern(339)), opens("ref_1", 339), makes("ref_1", 339, true), comesBack("ref_1", 1), cancelledPaid,
			opens("ref_1-", 339), makes("ref_1-", 339, false), events.StockReturned{Location: "main", OrderID: "ord_1", Lines: lanterns(1)}),
		"all came back before the cancellation": extend(bought, asks("ref_a", 339, oneLantern(339)), opens("ref_a", 339), makes("ref_a", 339, true), comesBack("ref_a", 1),
			asks("ref_b", 339, oneLantern(339)), opens("ref_b", 339), makes("ref_b", 339, false), comesBack("ref_b", 0, "ref_a"), cancelledPaid),
		"the cancellation was faster":    extend(bought, asks("ref_a", 339), cancelledPaid, opens("ref_1", 678), makes("ref_1", 678, false), refuses("ref_a", 339), askFails("ref_a", 339), stockReturned),
		"the cancellation's was refused": extend(bought, cancelledPaid, opens("ref_1", 678), refuses("ref_1", 678), askFails("ref_1", 678), stockReturned),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newFixture(t)
			s.record(withReceipts(given)...)
			s.acknowledge(s.everyReaction()...)
			if r := s.audit(true, ""); r.UnderWay != 0 {
				t.Errorf("%d under way", r.UnderWay)
			} else {
				want(t, r)
			}
		})
	}
}

func TestRefunds_IllegalHistories(t *testing.T) {
	for name, test := range map[string]struct {
		given []events.Event
		want  []string
	}{
		"more than the order": {extend(bought, asks("ref_a", 400), asks("ref_b", 400)),
			[]string{"money: ORDERS:5 order ord_1: ref_b makes the refunds 800 in minor units, more than the total of 6.78 GBP"}},
		"more than was captured": {extend(bought, asks("ref_a", 400), opens("ref_a", 400), asks("ref_b", 278), opens("ref_b", 279)),
			[]string{"money: PAYMENTS:4 payment pay_1: ref_b gives back 2.79 GBP, but of 678 captured, 400 are given back or will be",
				"order: ORDERS:5 order ord_1: ref_b is 278 in minor units, but PAYMENTS records 279"}},
		"another price": {extend(bought, asks("ref_a", 300, oneLantern(300))),
			[]string{"money: ORDERS:4 order ord_1: ref_a refunds 300 in minor units for 1 pieces that did not cost that"}},
		"lines that do not add up": {extend(bought, asks("ref_a", 300, oneLantern(339))),
			[]string{"money: ORDERS:4 order ord_1: has lines that do not add up to 3.00 GBP"}},
		"given back unasked": {extend(bought, opens("ref_a", 339), makes("ref_a", 339, true)),
			[]string{"order: PAYMENTS:4 order ord_1: refunded, but ORDERS does not record that it was cancelled"}},
		"given back twice": {extend(bought, asks("ref_a", 339), opens("ref_a", 339), makes("ref_a", 339, true), makes("ref_a", 339, false)),
			[]string{"money: PAYMENTS:5 payment pay_1: ref_a says partial false, but 339 of 678 captured went back",
				"transitions: PAYMENTS:5 payment pay_1: ref_a is refunded, but was not requested before"}},
		"put into stock twice": {extend(bought, asks("ref_a", 339, oneLantern(339)), comesBack("ref_a", 1), comesBack("ref_a", 0, "ref_a")),
			[]string{"once: INVENTORY:5 order ord_1: the pieces of ref_a came back before"}},
		"after a cancellation": {extend(bought, orderCancelled(events.CancelledByStaff, true), asks("ref_a", 339)),
			[]string{"transitions: ORDERS:5 order ord_1: ref_a is requested although the order is cancelled"}},
		"failed, and made": {extend(bought, asks("ref_a", 339), opens("ref_a", 339), makes("ref_a", 339, true), askFails("ref_a", 339)),
			[]string{"order: ORDERS:5 order ord_1: ref_a failed, but PAYMENTS does not record that"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newFixture(t)
			s.recordAndWant(test.given, test.want...)
		})
	}
}

// What everybody has handled must have had its effect.
func TestRefunds_HandledWithoutTheirEffect(t *testing.T) {
	for name, test := range map[string]struct {
		given []events.Event
		want  string
	}{
		"not given back":     {extend(bought, asks("ref_a", 339)), "order: ORDERS:4 order ord_1: ref_a is requested, and payments-on-orders has handled it, but PAYMENTS does not record it"},
		"not put into stock": {extend(bought, asks("ref_a", 339, oneLantern(339)), opens("ref_a", 339), makes("ref_a", 339, true)), "order: ORDERS:4 order ord_1: inventory-on-orders has handled ref_a, but its pieces did not come back"},
		"a failure unnoted":  {extend(bought, asks("ref_a", 339), opens("ref_a", 339), refuses("ref_a", 339)), "order: PAYMENTS:4 order ord_1: ref_a failed, and orders-on-payments has handled it, but ORDERS does not record it"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newFixture(t)
			s.record(withReceipts(test.given)...)
			if r := s.audit(false, ""); r.UnderWay != 1 || len(r.Violations) > 0 {
				t.Errorf("%d under way before the reactions ran, %v", r.UnderWay, r.Violations)
			}
			s.acknowledge(s.everyReaction()...)
			want(t, s.audit(false, ""), test.want)
		})
	}
}
