package audit

import (
	"testing"

	"lonja/events"
)

func TestRun_AcceptsLegalHistories(t *testing.T) {
	for name, given := range map[string][]events.Event{
		"nothing":                         nil,
		"a product that came back":        list(productCreated, events.ProductArchived{SKU: "71053"}, events.ProductRestored(productCreated), events.ProductChanged(productCreated), events.ProductArchived{SKU: "71053"}),
		"delivered":                       extend(bought, receiptIssued, orderShipped, orderDelivered),
		"cancelled before it was paid":    extend(ordered, orderCancelled(events.CancelledByCustomer, false), stockReleased(2, events.ReleasedCancelled), paymentVoided),
		"cancelled after it was paid":     extend(bought, receiptIssued, orderCancelled(events.CancelledByStaff, true), stockReturned, paymentRefunded, receiptCredited),
		"out of stock":                    extend(stocked, orderPlaced, stockRefused, orderCancelled(events.OutOfStock, false), paymentVoided),
		"declined":                        extend(ordered, paymentDeclined, orderCancelled(events.PaymentWasDeclined, false), stockReleased(2, events.ReleasedCancelled)),
		"paid by another attempt":         extend(ordered, attemptHasFailed, paymentRetried, pageHasOpened, paymentCaptured(678, false), orderPaid, receiptIssued, stockCommitted(2, false), orderShipped),
		"paid twice":                      extend(ordered, paymentRetried, pageHasOpened, paymentCaptured(678, false), orderPaid, receiptIssued, stockCommitted(2, false), moneyCameAgain, moneyWentBack, pageHasClosed, orderShipped),
		"a page that came too late":       extend(ordered, paymentRetried, orderCancelled(events.CancelledByCustomer, false), stockReleased(2, events.ReleasedCancelled), paymentVoided, pageHasOpened, pageHasClosed),
		"needs attention":                 extend(ordered, paymentFlagged, events.PaymentFlagged{PaymentID: "pay_unknown", Reason: events.FlaggedUnknownPayment, Detail: "nobody's"}),
		"paid too late":                   extend(ordered, paymentExpired, orderCancelled(events.PaymentHasExpired, false), paymentCaptured(678, false), paymentRefunded, stockReleased(2, events.ReleasedCancelled)),
		"captured after it was voided":    extend(ordered, orderCancelled(events.CancelledByCustomer, false), paymentVoided, paymentCaptured(678, true), paymentRefunded, stockReleased(2, events.ReleasedCancelled)),
		"paid after its goods lapsed":     extend(ordered, stockReleased(2, events.ReleasedExpired), paymentCaptured(678, false), orderPaid, receiptIssued, stockCommitted(2, true)),
		"lapsed, paid and gone":           extend(ordered, stockReleased(2, events.ReleasedExpired), paymentCaptured(678, false), orderPaid, receiptIssued, stockRefused, orderCancelled(events.OutOfStock, true), paymentRefunded, receiptCredited),
		"cancelled before it was placed":  extend(stocked, stockReleased(0, events.ReleasedCancelled), orderPlaced, orderCancelled(events.CancelledByCustomer, false), paymentVoided),
		"costs nothing":                   extend(stocked, freeOrderPlaced, stockReserved, freeOrderPaid, freeReceiptIssued, stockCommitted(2, false), orderShipped),
		"costs nothing, and is cancelled": extend(stocked, freeOrderPlaced, stockReserved, freeOrderPaid, freeReceiptIssued, stockCommitted(2, false), orderCancelled(events.CancelledByStaff, true), stockReturned, paymentVoided),
		"costs nothing, and an older program let it await its payment": extend(stocked, freeOrderPlaced, stockReserved, events.OrderAwaitingPayment{OrderID: "ord_1", Amount: gbp(0)},
			stockReleased(2, events.ReleasedExpired), freeOrderPaid, freeReceiptIssued, stockCommitted(2, true), orderShipped),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newFixture(t)
			s.record(given...)
			s.acknowledge(s.everyReaction()...)
			r := s.audit(true, "")
			if want(t, r); r.UnderWay != 0 {
				t.Errorf("%d under way", r.UnderWay)
			}
		})
	}
}

// No reaction has run, so missing effects are not violations here.
func TestRun_ReportsIllegalHistories(t *testing.T) {
	for name, test := range map[string]struct {
		given []events.Event
		want  []string
	}{
		"shipped before it is paid": {extend(ordered, orderShipped),
			[]string{"transitions: ORDERS:3 order ord_1: shipped after awaiting_payment; expected after paid",
				"order: ORDERS:3 order ord_1: shipped, but INVENTORY does not record that it was committed",
				"money: ORDERS:3 order ord_1: shipped, but nothing was captured; expected 6.78 GBP"}},
		"shipped before the stock agrees": {extend(ordered, paymentCaptured(678, false), orderPaid, orderShipped),
			[]string{"order: ORDERS:4 order ord_1: shipped, but INVENTORY does not record that it was committed"}},
		"shipped although the stock refused": {extend(ordered, stockReleased(2, events.ReleasedExpired), paymentCaptured(678, false), orderPaid, stockRefused, orderShipped),
			[]string{"order: ORDERS:4 order ord_1: shipped, but INVENTORY does not record that it was committed"}},
		"cancelled after it is shipped": {extend(bought, orderShipped, orderCancelled(events.CancelledByStaff, false)),
			[]string{"transitions: ORDERS:5 order ord_1: cancelled after shipped; expected after placed or awaiting_payment or paid"}},
		"captured twice": {extend(bought, paymentCaptured(678, false)),
			[]string{"transitions: PAYMENTS:3 payment pay_1: captured after captured; expected after requested or expired"}},
		"refunded twice": {extend(bought, orderCancelled(events.CancelledByStaff, true), paymentRefunded, paymentRefunded),
			[]string{"transitions: PAYMENTS:4 payment pay_1: refunded after refunded; expected after captured or captured as unwanted"}},
		"refunded without a cancellation": {extend(bought, paymentRefunded),
			[]string{"order: PAYMENTS:3 order ord_1: refunded, but ORDERS does not record that it was cancelled"}},
		"paid with nothing captured": {extend(ordered, orderPaid),
			[]string{"money: ORDERS:3 order ord_1: paid, but nothing was captured; expected 6.78 GBP"}},
		"paid before its money was awaited": {extend(stocked, orderPlaced, stockReserved, orderPaid),
			[]string{"order: ORDERS:2 order ord_1: is paid, but was not awaiting payment",
				"money: ORDERS:2 order ord_1: paid, but nothing was captured; expected 6.78 GBP"}},
		"paid for nothing before its goods are set aside": {extend(stocked, freeOrderPlaced, freeOrderPaid),
			[]string{"order: ORDERS:2 order ord_1: paid, but INVENTORY does not record that it was reserved"}},
		"captured too much": {extend(ordered, paymentCaptured(700, false)),
			[]string{"money: PAYMENTS:2 payment pay_1: captures 7.00 GBP, expected 6.78 GBP"}},
		"asked for too little": {extend(stocked, orderPlaced, stockReserved, awaitingPayment, events.PaymentRequested{PaymentID: "pay_1", OrderID: "ord_1", Amount: gbp(1), Provider: "p", URL: "/"}),
			[]string{"money: PAYMENTS:1 order ord_1: 0.01 GBP are requested; expected the order's total of 6.78 GBP"}},
		"awaits another amount": {extend(stocked, orderPlaced, stockReserved, events.OrderAwaitingPayment{OrderID: "ord_1", Amount: gbp(1)}),
			[]string{"money: ORDERS:2 order ord_1: awaits 0.01 GBP, expected 6.78 GBP"}},
		"an attempt after the money came": {extend(ordered, paymentCaptured(678, false), paymentRetried),
			[]string{"transitions: PAYMENTS:3 payment pay_1: retried after captured; expected after requested"}},
		"given back that did not come again": {extend(bought, moneyWentBack),
			[]string{"order: PAYMENTS:3 order ord_1: refunded again, but PAYMENTS does not record that it was captured again"}},
		"a payment of another order": {extend(ordered, events.PaymentDeclined{PaymentID: "pay_2", OrderID: "ord_1"}),
			[]string{"order: PAYMENTS:2 payment pay_2: is for order ord_1; expected payment pay_1"}},

		"more reserved than there is": {list(productCreated, stockCounted(1, 0), orderPlaced, stockReserved),
			[]string{"stock: INVENTORY:2 order ord_1: leads to 71053: 1 on hand, 2 reserved; expected 0 <= reserved <= on hand"}},
		"a count that forgets what is reserved": {extend(stocked, orderPlaced, stockReserved, stockCounted(9, 0)),
			[]string{"stock: INVENTORY:3 stock main: records 71053: 9 on hand, 0 reserved; the events before it lead to 9 and 2"}},
		"an adjustment that does not add up": {extend(stocked, events.StockAdjusted{Location: "main", Level: events.Level{SKU: "71053", OnHand: 9}, Delta: -2, Reason: "broken"}),
			[]string{"stock: INVENTORY:2 stock main: records 71053: 9 on hand, 0 reserved; the events before it lead to 8 and 0"}},
		"reserved twice": {extend(stocked, orderPlaced, stockReserved, stockReserved),
			[]string{"transitions: INVENTORY:3 order ord_1: reserved after reserved; expected after nothing"}},
		"gives back more than was set aside": {extend(ordered, orderCancelled(events.CancelledByStaff, false), stockReleased(1, events.ReleasedCancelled)),
			[]string{"order: INVENTORY:3 order ord_1: moves other lines than were reserved"}},
		"takes what was not set aside": {extend(ordered, paymentCaptured(678, false), orderPaid, stockCommitted(2, true)),
			[]string{"order: INVENTORY:3 order ord_1: records from_available true after reserved"}},
		"sets aside what was not ordered": {extend(stocked, orderPlaced, events.StockReserved{Location: "main", OrderID: "ord_1", Lines: lanterns(3)}),
			[]string{"order: INVENTORY:2 order ord_1: the reserved lines differ from the ordered lines"}},

		"reserved for nobody": {extend(stocked, stockReserved),
			[]string{"order: INVENTORY:2 order ord_1: reserved, but ORDERS does not record that it was placed"}},
		"awaits with nothing reserved": {extend(stocked, orderPlaced, awaitingPayment),
			[]string{"order: ORDERS:2 order ord_1: awaiting_payment, but INVENTORY does not record that it was reserved"}},
		"cancelled for a refusal that never was": {extend(stocked, orderPlaced, orderCancelled(events.OutOfStock, false)),
			[]string{"order: ORDERS:2 order ord_1: cancelled, but INVENTORY does not record that it was refused"}},
		"cancelled and says it was paid": {extend(stocked, orderPlaced, orderCancelled(events.CancelledByStaff, true)),
			[]string{"order: ORDERS:2 order ord_1: records was_paid true after placed"}},
		"a total that does not add up": {extend(stocked, events.OrderPlaced{OrderID: "ord_1", CustomerID: "usr_ana", Items: lines(2), Total: gbp(600), TotalItems: 2}),
			[]string{"order: ORDERS:1 order ord_1: has lines that add up to 2 pieces for 6.78 GBP, not 2 for 6.00 GBP"}},
		"a product that never was": {list(orderPlaced),
			[]string{"order: ORDERS:1 order ord_1: orders 71053, which the catalogue never had"}},

		"a receipt of what was not paid": {extend(ordered, receiptIssued),
			[]string{"order: RECEIPTS:1 order ord_1: issued, but ORDERS does not record that it was paid"}},
		"a receipt over another amount": {extend(bought, events.ReceiptIssued{Number: 1, OrderID: "ord_1", Amount: gbp(600)}),
			[]string{"receipts: RECEIPTS:1 order ord_1: the receipt is over 6.00 GBP; expected 6.78 GBP"}},
		"a receipt that begins with another number": {extend(bought, events.ReceiptIssued{Number: 2, OrderID: "ord_1", Amount: gbp(678)}),
			[]string{"receipts: RECEIPTS:1 order ord_1: has number 2 in the book of receipts; expected 1"}},
		"two receipts": {extend(bought, receiptIssued, events.ReceiptIssued{Number: 2, OrderID: "ord_1", Amount: gbp(678)}),
			[]string{"receipts: RECEIPTS:2 order ord_1: has receipt 2, and has had receipt 1 before",
				"transitions: RECEIPTS:2 order ord_1: issued after issued; expected after nothing or credited"}},
		"two receipts of one number": {extend(bought, receiptIssued, receiptIssued),
			[]string{"receipts: RECEIPTS:2 order ord_1: has number 1 in the book of receipts; expected 2",
				"receipts: RECEIPTS:2 order ord_1: has receipt 1, and has had receipt 1 before",
				"transitions: RECEIPTS:2 order ord_1: issued after issued; expected after nothing or credited"}},
		"a credit note of no refund": {extend(bought, receiptIssued, events.ReceiptCredited{Number: 1, OrderID: "ord_1", Receipt: 1, Refund: "none", Amount: gbp(678)}),
			[]string{"receipts: RECEIPTS:2 order ord_1: the credit note is to a refund that PAYMENTS does not record"}},
		"a credit note over another amount": {extend(refundedOnce, receiptIssued, events.ReceiptCredited{Number: 1, OrderID: "ord_1", Receipt: 1, Refund: lastRefund, Amount: gbp(1)}),
			[]string{"receipts: RECEIPTS:2 order ord_1: the credit note is over 0.01 GBP; expected 6.78 GBP"}},
		"a credit note to another receipt": {extend(refundedOnce, receiptIssued, events.ReceiptCredited{Number: 1, OrderID: "ord_1", Receipt: 2, Refund: lastRefund, Amount: gbp(678)}),
			[]string{"receipts: RECEIPTS:2 order ord_1: the credit note is to receipt 2; expected 1"}},
		"a credit note of what was not paid": {extend(ordered, orderCancelled(events.CancelledByCustomer, false), paymentVoided, paymentCaptured(678, true), paymentRefunded, receiptCredited),
			[]string{"receipts: RECEIPTS:1 order ord_1: the credit note is to receipt 1; expected 0"}},
		"two credit notes": {extend(refundedOnce, receiptIssued, receiptCredited, events.ReceiptCredited{Number: 2, OrderID: "ord_1", Receipt: 1, Refund: lastRefund, Amount: gbp(678)}),
			[]string{"receipts: RECEIPTS:3 order ord_1: is the second credit note of a refund"}},
		"credit notes with a gap": {extend(refundedOnce, receiptIssued, events.ReceiptCredited{Number: 7, OrderID: "ord_1", Receipt: 1, Refund: lastRefund, Amount: gbp(678)}),
			[]string{"receipts: RECEIPTS:2 order ord_1: has number 7 in the book of credits; expected 1"}},

		"a product created twice": {list(productCreated, productCreated),
			[]string{"transitions: CATALOG:2 product 71053: created after created; expected after nothing"}},
		"a product changed after it was archived": {list(productCreated, events.ProductArchived{SKU: "71053"}, events.ProductChanged(productCreated)),
			[]string{"transitions: CATALOG:3 product 71053: changed after archived; expected after created or changed or restored"}},
		"a product restored that was not archived": {list(productCreated, events.ProductRestored(productCreated)),
			[]string{"transitions: CATALOG:2 product 71053: restored after created; expected after archived"}},
		"a session of nobody": {list(events.SessionStarted{SessionID: "ses_1", UserID: "usr_ana", TokenHash: "SECRET"}),
			[]string{"transitions: IDENTITY:1 session ses_1: belongs to user usr_ana, who was not registered before"}},
		"a session that ended before": {list(events.SessionEnded{SessionID: "ses_1", UserID: "usr_ana", Reason: "logout"}),
			[]string{"transitions: IDENTITY:1 session ses_1: ended after nothing; expected after started or rotated or refreshed"}},
		"a login of nobody": {list(events.LoginStarted{Login: login(0)}),
			[]string{"transitions: SESSIONS:1 login lgn_1: belongs to user usr_ana, who was not registered before"}},
		"a login that begins too late": {list(events.LoginRefreshed{Login: login(3)}),
			[]string{"transitions: SESSIONS:1 login lgn_1: refreshed after nothing; expected after started or refreshed"}},
		"a login that leaves a refresh out": {extend(withAna, events.LoginStarted{Login: login(0)}, events.LoginRefreshed{Login: login(2)}),
			[]string{"transitions: SESSIONS:2 login lgn_1: does not follow from the event before: another user, time, password, count of refreshes, position or token"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newFixture(t)
			s.recordAndWant(test.given, test.want...)
		})
	}
}

// Until the reaction has run, the order is under way. When the reaction has given
// up, the dead letter waits for an operator and nothing is reported.
func TestRun_ReportsAHandledCauseWithoutItsEffect(t *testing.T) {
	const refunding, unwantedMoney = "payments-on-orders", "payments-on-captures"
	for name, test := range map[string]struct {
		given    []events.Event
		consumer string
		cause    string // stream
		seq      uint64
		want     string
	}{
		"placed, and no goods": {extend(stocked, orderPlaced), "inventory-on-orders", "ORDERS", 1,
			"order: ORDERS:1 order ord_1: placed, and inventory-on-orders has handled it, but INVENTORY left it at nothing; expected reserved or refused or committed or released or released as expired or returned"},
		"paid, and the goods are still there": {extend(ordered, paymentCaptured(678, false), orderPaid), "inventory-on-orders", "ORDERS", 3,
			"order: ORDERS:3 order ord_1: paid, and inventory-on-orders has handled it, but INVENTORY left it at reserved; expected committed or refused or released or returned"},
		"cancelled, and the goods still set aside": {extend(ordered, orderCancelled(events.CancelledByStaff, false)), "inventory-on-orders", "ORDERS", 3,
			"order: ORDERS:3 order ord_1: cancelled, and inventory-on-orders has handled it, but INVENTORY left it at reserved; expected refused or released or released as expired or returned"},
		"reserved, and still placed": {extend(stocked, orderPlaced, stockReserved), "orders-on-stock", "INVENTORY", 2,
			"order: INVENTORY:2 order ord_1: reserved, and orders-on-stock has handled it, but ORDERS left it at placed; expected awaiting_payment or paid or shipped or delivered or cancelled"},
		"refused, and still placed": {extend(stocked, orderPlaced, stockRefused), "orders-on-stock", "INVENTORY", 2,
			"order: INVENTORY:2 order ord_1: refused, and orders-on-stock has handled it, but ORDERS left it at placed; expected cancelled"},
		"awaited, and not asked for": {extend(stocked, orderPlaced, stockReserved, awaitingPayment), "payments-on-orders", "ORDERS", 2,
			"order: ORDERS:2 order ord_1: awaiting_payment, and payments-on-orders has handled it, but PAYMENTS left it at nothing; expected requested or captured or captured as unwanted or declined or expired or voided or refunded"},
		"captured, and not paid": {extend(ordered, paymentCaptured(678, false)), "orders-on-payments", "PAYMENTS", 2,
			"order: PAYMENTS:2 order ord_1: captured, and orders-on-payments has handled it, but ORDERS left it at awaiting_payment; expected paid or shipped or delivered or cancelled"},
		"declined, and not cancelled": {extend(ordered, paymentDeclined), "orders-on-payments", "PAYMENTS", 2,
			"order: PAYMENTS:2 order ord_1: declined, and orders-on-payments has handled it, but ORDERS left it at awaiting_payment; expected cancelled"},
		"cancelled, and the money kept": {extend(bought, orderCancelled(events.CancelledByStaff, true)), refunding, "ORDERS", 4,
			"money: PAYMENTS:2 order ord_1: cancelled, but 6.78 GBP were captured and nothing was refunded; expected a full refund"},
		"paid, and no receipt": {bought, "receipts-on-orders", "ORDERS", 3,
			"order: ORDERS:3 order ord_1: paid, and receipts-on-orders has handled it, but RECEIPTS left it at nothing; expected issued or credited"},
		"refunded, and no credit note": {extend(refundedOnce, receiptIssued), "receipts-on-payments", "PAYMENTS", 3,
			"receipts: PAYMENTS:3 order ord_1: refunded, and receipts-on-payments has handled it, but there is no credit note"},
		"unwanted money kept": {extend(ordered, orderCancelled(events.CancelledByStaff, false), paymentVoided, paymentCaptured(678, true)), unwantedMoney, "PAYMENTS", 3,
			"money: PAYMENTS:3 order ord_1: cancelled, but 6.78 GBP were captured and nothing was refunded; expected a full refund"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newFixture(t)
			s.record(test.given...)
			r := s.audit(false, "")
			if want(t, r); r.UnderWay != 1 {
				t.Errorf("%d under way before the reaction ran, want 1", r.UnderWay)
			}
			s.acknowledge(test.consumer)
			if test.consumer == unwantedMoney {
				s.acknowledge(refunding)
			}
			want(t, s.audit(false, ""), test.want)
			s.deadLetter(test.consumer, test.cause, test.seq)
			r = s.audit(false, "")
			if want(t, r); r.DeadLetters != 1 {
				t.Errorf("%d dead letters, want 1", r.DeadLetters)
			}
		})
	}
}

func TestRun_SettledReportsWorkUnderWay(t *testing.T) {
	s := newFixture(t)
	s.record(extend(stocked, orderPlaced)...)
	cons, err := s.JS.Consumer(t.Context(), "ORDERS", "inventory-on-orders")
	for err == nil && cons.CachedInfo().NumPending == 0 { // the server notices a little later
		_, err = cons.Info(t.Context())
	}
	if err != nil {
		t.Fatal(err)
	}
	want(t, s.audit(true, ""),
		"settled: stream ORDERS consumer inventory-on-orders: has 1 messages left to handle",
		"settled: order ord_1: a reaction to one of its events has not run yet")
}
