package audit

import (
	"testing"

	"lonja/events"
)

// What may be on the log, event by event, with all reactions over.
func TestWhatIsLegalIsLeftAlone(t *testing.T) {
	for name, given := range map[string][]events.Event{
		"nothing":                         nil,
		"a product that came back":        all(offers, events.ProductArchived{SKU: "71053"}, events.ProductRestored(offers), events.ProductChanged(offers), events.ProductArchived{SKU: "71053"}),
		"delivered":                       then(bought, ships, delivers),
		"cancelled before it was paid":    then(ordered, cancels(events.CancelledByCustomer, false), releases(2, events.ReleasedCancelled), voids),
		"cancelled after it was paid":     then(bought, cancels(events.CancelledByStaff, true), gives, refunds),
		"out of stock":                    then(stocked, places, refuses, cancels(events.OutOfStock, false), voids),
		"declined":                        then(ordered, declines, cancels(events.PaymentWasDeclined, false), releases(2, events.ReleasedCancelled)),
		"paid too late":                   then(ordered, expires, cancels(events.PaymentHasExpired, false), captures(678, false), refunds, releases(2, events.ReleasedCancelled)),
		"captured after it was voided":    then(ordered, cancels(events.CancelledByCustomer, false), voids, captures(678, true), refunds, releases(2, events.ReleasedCancelled)),
		"paid after its goods lapsed":     then(ordered, releases(2, events.ReleasedExpired), captures(678, false), pays, commits(2, true)),
		"lapsed, paid and gone":           then(ordered, releases(2, events.ReleasedExpired), captures(678, false), pays, refuses, cancels(events.OutOfStock, true), refunds),
		"cancelled before it was placed":  then(stocked, releases(0, events.ReleasedCancelled), places, cancels(events.CancelledByCustomer, false), voids),
		"costs nothing":                   then(stocked, gift, reserves, received, commits(2, false), ships),
		"costs nothing, and is cancelled": then(stocked, gift, reserves, received, commits(2, false), cancels(events.CancelledByStaff, true), gives, voids),
		"costs nothing, and an older program let it await its payment": then(stocked, gift, reserves, events.OrderAwaitingPayment{OrderID: "ord_1", Amount: gbp(0)},
			releases(2, events.ReleasedExpired), received, commits(2, true), ships),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newScene(t)
			s.says(given...)
			s.handled(s.everyReaction()...)
			r := s.audited(true, "")
			if want(t, r); r.UnderWay != 0 {
				t.Errorf("%d under way", r.UnderWay)
			}
		})
	}
}

// What must not be, on any stream by itself or between them. No reaction has
// run, so nothing is blamed for what may still come.
func TestWhatMustNotBeIsNamed(t *testing.T) {
	for name, test := range map[string]struct {
		given []events.Event
		want  []string
	}{
		"shipped before it is paid": {then(ordered, ships),
			[]string{"transitions: ORDERS:3 order ord_1: shipped after awaiting_payment; it may only come after paid",
				"order: ORDERS:3 order ord_1: shipped, but INVENTORY has no fact that it was committed",
				"money: ORDERS:3 order ord_1: shipped, but no money was captured; expected 6.78 GBP"}},
		"shipped before the stock agrees": {then(ordered, captures(678, false), pays, ships),
			[]string{"order: ORDERS:4 order ord_1: shipped, but INVENTORY has no fact that it was committed"}},
		"shipped although the stock refused": {then(ordered, releases(2, events.ReleasedExpired), captures(678, false), pays, refuses, ships),
			[]string{"order: ORDERS:4 order ord_1: shipped, but INVENTORY has no fact that it was committed"}},
		"cancelled after it is shipped": {then(bought, ships, cancels(events.CancelledByStaff, false)),
			[]string{"transitions: ORDERS:5 order ord_1: cancelled after shipped; it may only come after placed or awaiting_payment or paid"}},
		"captured twice": {then(bought, captures(678, false)),
			[]string{"transitions: PAYMENTS:3 payment pay_1: captured after captured; it may only come after requested or expired"}},
		"refunded twice": {then(bought, cancels(events.CancelledByStaff, true), refunds, refunds),
			[]string{"transitions: PAYMENTS:4 payment pay_1: refunded after refunded; it may only come after captured or captured as unwanted"}},
		"refunded without a cancellation": {then(bought, refunds),
			[]string{"order: PAYMENTS:3 order ord_1: refunded, but ORDERS has no fact that it was cancelled"}},
		"paid with nothing captured": {then(ordered, pays),
			[]string{"money: ORDERS:3 order ord_1: paid, but no money was captured; expected 6.78 GBP"}},
		"paid before its money was awaited": {then(stocked, places, reserves, pays),
			[]string{"order: ORDERS:2 order ord_1: is paid, but its money was not awaited",
				"money: ORDERS:2 order ord_1: paid, but no money was captured; expected 6.78 GBP"}},
		"paid for nothing before its goods are set aside": {then(stocked, gift, received),
			[]string{"order: ORDERS:2 order ord_1: paid, but INVENTORY has no fact that it was reserved"}},
		"captured too much": {then(ordered, captures(700, false)),
			[]string{"money: PAYMENTS:2 payment pay_1: captures 7.00 GBP, expected 6.78 GBP"}},
		"asked for too little": {then(stocked, places, reserves, awaits, events.PaymentRequested{PaymentID: "pay_1", OrderID: "ord_1", Amount: gbp(1), Provider: "p", URL: "/"}),
			[]string{"money: PAYMENTS:1 order ord_1: 0.01 GBP are asked for; the order is worth 6.78 GBP"}},
		"awaits another amount": {then(stocked, places, reserves, events.OrderAwaitingPayment{OrderID: "ord_1", Amount: gbp(1)}),
			[]string{"money: ORDERS:2 order ord_1: awaits 0.01 GBP, expected 6.78 GBP"}},
		"a payment of another order": {then(ordered, events.PaymentDeclined{PaymentID: "pay_2", OrderID: "ord_1"}),
			[]string{"order: PAYMENTS:2 payment pay_2: is for order ord_1, whose payment is pay_1"}},

		"more reserved than there is": {all(offers, counts(1, 0), places, reserves),
			[]string{"stock: INVENTORY:2 order ord_1: leads to 71053: 1 on hand, 2 reserved; expected 0 <= reserved <= on hand"}},
		"a count that forgets what is reserved": {then(stocked, places, reserves, counts(9, 0)),
			[]string{"stock: INVENTORY:3 stock main: says 71053: 9 on hand, 0 reserved; the facts before it lead to 9 and 2"}},
		"an adjustment that does not add up": {then(stocked, events.StockAdjusted{Location: "main", Level: events.Level{SKU: "71053", OnHand: 9}, Delta: -2, Reason: "broken"}),
			[]string{"stock: INVENTORY:2 stock main: says 71053: 9 on hand, 0 reserved; the facts before it lead to 8 and 0"}},
		"reserved twice": {then(stocked, places, reserves, reserves),
			[]string{"transitions: INVENTORY:3 order ord_1: reserved after reserved; it may only come after nothing"}},
		"gives back more than was set aside": {then(ordered, cancels(events.CancelledByStaff, false), releases(1, events.ReleasedCancelled)),
			[]string{"order: INVENTORY:3 order ord_1: moves other lines than were set aside"}},
		"takes what was not set aside": {then(ordered, captures(678, false), pays, commits(2, true)),
			[]string{"order: INVENTORY:3 order ord_1: says from_available true after reserved"}},
		"sets aside what was not ordered": {then(stocked, places, events.StockReserved{Location: "main", OrderID: "ord_1", Lines: lanterns(3)}),
			[]string{"order: INVENTORY:2 order ord_1: the lines that were set aside are not those that were ordered"}},

		"reserved for nobody": {then(stocked, reserves),
			[]string{"order: INVENTORY:2 order ord_1: reserved, but ORDERS has no fact that it was placed"}},
		"awaits with nothing reserved": {then(stocked, places, awaits),
			[]string{"order: ORDERS:2 order ord_1: awaiting_payment, but INVENTORY has no fact that it was reserved"}},
		"cancelled for a refusal that never was": {then(stocked, places, cancels(events.OutOfStock, false)),
			[]string{"order: ORDERS:2 order ord_1: cancelled, but INVENTORY has no fact that it was refused"}},
		"cancelled and says it was paid": {then(stocked, places, cancels(events.CancelledByStaff, true)),
			[]string{"order: ORDERS:2 order ord_1: says was_paid true after placed"}},
		"a total that does not add up": {then(stocked, events.OrderPlaced{OrderID: "ord_1", CustomerID: "usr_ana", Items: lines(2), Total: gbp(600), TotalItems: 2}),
			[]string{"order: ORDERS:1 order ord_1: its lines come to 2 pieces for 6.78 GBP, not 2 for 6.00 GBP"}},
		"a product that never was": {all(places),
			[]string{"order: ORDERS:1 order ord_1: asks for 71053, which the catalogue never had"}},

		"a product created twice": {all(offers, offers),
			[]string{"transitions: CATALOG:2 product 71053: created after created; it may only come after nothing"}},
		"a product changed after it was archived": {all(offers, events.ProductArchived{SKU: "71053"}, events.ProductChanged(offers)),
			[]string{"transitions: CATALOG:3 product 71053: changed after archived; it may only come after created or changed or restored"}},
		"a product restored that was not archived": {all(offers, events.ProductRestored(offers)),
			[]string{"transitions: CATALOG:2 product 71053: restored after created; it may only come after archived"}},
		"a session of nobody": {all(events.SessionStarted{SessionID: "ses_1", UserID: "usr_ana", TokenHash: "SECRET"}),
			[]string{"transitions: IDENTITY:1 session ses_1: is of user usr_ana, who was not registered before"}},
		"a session that ended before": {all(events.SessionEnded{SessionID: "ses_1", UserID: "usr_ana", Reason: "logout"}),
			[]string{"transitions: IDENTITY:1 session ses_1: ended after nothing; it may only come after started or rotated"}},
		"roles of nobody": {all(events.UserRolesChanged{UserID: "usr_ana", Roles: []string{"staff"}}),
			[]string{"transitions: IDENTITY:1 user usr_ana: roles_changed after nothing; it may only come after registered or roles_changed or password_changed"}},
		"a password of nobody": {all(events.UserPasswordChanged{UserID: "usr_ana", PasswordHash: "SECRET"}),
			[]string{"transitions: IDENTITY:1 user usr_ana: password_changed after nothing; it may only come after registered or roles_changed or password_changed"}},
		"a key before the realm": {all(events.RealmKeyAdded{KeyID: "k", Seed: make([]byte, 32)}),
			[]string{"transitions: IDENTITY:1 realm main: key_added after nothing; it may only come after opened or key_added or admin_appointed"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newScene(t)
			s.says(test.given...)
			want(t, s.audited(false, ""), test.want...)
		})
	}
}

// What a reaction that has run must have left. As long as it has not, the
// order is under way; when it has given up, an operator is waited for.
func TestWhatAReactionHasHandledMustBeThere(t *testing.T) {
	const refunding, unwantedMoney = "payments-on-orders", "payments-on-payments"
	for name, test := range map[string]struct {
		given    []events.Event
		consumer string
		cause    string // stream
		seq      uint64
		want     string
	}{
		"placed, and no goods": {then(stocked, places), "inventory-on-orders", "ORDERS", 1,
			"order: ORDERS:1 order ord_1: placed, and inventory-on-orders has handled that, but INVENTORY left it at nothing; expected reserved or refused or committed or released or released as expired or returned"},
		"paid, and the goods are still there": {then(ordered, captures(678, false), pays), "inventory-on-orders", "ORDERS", 3,
			"order: ORDERS:3 order ord_1: paid, and inventory-on-orders has handled that, but INVENTORY left it at reserved; expected committed or refused or released or returned"},
		"cancelled, and the goods still set aside": {then(ordered, cancels(events.CancelledByStaff, false)), "inventory-on-orders", "ORDERS", 3,
			"order: ORDERS:3 order ord_1: cancelled, and inventory-on-orders has handled that, but INVENTORY left it at reserved; expected refused or released or released as expired or returned"},
		"reserved, and still placed": {then(stocked, places, reserves), "orders-on-stock", "INVENTORY", 2,
			"order: INVENTORY:2 order ord_1: reserved, and orders-on-stock has handled that, but ORDERS left it at placed; expected awaiting_payment or paid or shipped or delivered or cancelled"},
		"refused, and still placed": {then(stocked, places, refuses), "orders-on-stock", "INVENTORY", 2,
			"order: INVENTORY:2 order ord_1: refused, and orders-on-stock has handled that, but ORDERS left it at placed; expected cancelled"},
		"awaited, and not asked for": {then(stocked, places, reserves, awaits), "payments-on-orders", "ORDERS", 2,
			"order: ORDERS:2 order ord_1: awaiting_payment, and payments-on-orders has handled that, but PAYMENTS left it at nothing; expected requested or captured or captured as unwanted or declined or expired or voided or refunded"},
		"captured, and not paid": {then(ordered, captures(678, false)), "orders-on-payments", "PAYMENTS", 2,
			"order: PAYMENTS:2 order ord_1: captured, and orders-on-payments has handled that, but ORDERS left it at awaiting_payment; expected paid or shipped or delivered or cancelled"},
		"declined, and not cancelled": {then(ordered, declines), "orders-on-payments", "PAYMENTS", 2,
			"order: PAYMENTS:2 order ord_1: declined, and orders-on-payments has handled that, but ORDERS left it at awaiting_payment; expected cancelled"},
		"cancelled, and the money kept": {then(bought, cancels(events.CancelledByStaff, true)), refunding, "ORDERS", 4,
			"money: PAYMENTS:2 order ord_1: cancelled, yet 6.78 GBP were captured and nothing was refunded; expected all of it"},
		"unwanted money kept": {then(ordered, cancels(events.CancelledByStaff, false), voids, captures(678, true)), unwantedMoney, "PAYMENTS", 3,
			"money: PAYMENTS:3 order ord_1: cancelled, yet 6.78 GBP were captured and nothing was refunded; expected all of it"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newScene(t)
			s.says(test.given...)
			r := s.audited(false, "")
			if want(t, r); r.UnderWay != 1 {
				t.Errorf("%d under way before the reaction ran, want 1", r.UnderWay)
			}
			s.handled(test.consumer)
			if test.consumer == unwantedMoney {
				s.handled(refunding)
			}
			want(t, s.audited(false, ""), test.want)
			s.putsAside(test.consumer, test.cause, test.seq)
			r = s.audited(false, "")
			if want(t, r); r.DeadLetters != 1 {
				t.Errorf("%d dead letters, want 1", r.DeadLetters)
			}
		})
	}
}

func TestNothingMayBeUnderWayWhenAllIsSaidToBeSettled(t *testing.T) {
	s := newScene(t)
	s.says(then(stocked, places)...)
	cons, err := s.JS.Consumer(t.Context(), "ORDERS", "inventory-on-orders")
	for err == nil && cons.CachedInfo().NumPending == 0 { // the server notices a little later
		_, err = cons.Info(t.Context())
	}
	if err != nil {
		t.Fatal(err)
	}
	want(t, s.audited(true, ""),
		"settled: stream ORDERS consumer inventory-on-orders: has 1 messages still to handle",
		"settled: order ord_1: a reaction to one of its facts has not run yet")
}
