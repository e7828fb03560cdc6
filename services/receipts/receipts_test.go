package receipts

import (
	"reflect"
	"sync"
	"testing"
	"time"

	"lonja/events"
	"lonja/events/query"
	"lonja/kit/eventlog"
)

func TestReceipt_IsIssuedOnceAndCreditedForEachRefund(t *testing.T) {
	shop := open(t, New(Config{}))
	shop.places("ord_1", 339)
	shop.Record("ORDERS", orderPaid("ord_1", 339))
	if e := shop.awaitsReceipt("ord_1"); e != issued(1, "ord_1", 339) {
		t.Errorf("issued %+v", e)
	}
	shop.places("ord_2", 0)
	shop.Record("ORDERS", orderPaid("ord_2", 0))
	if e := shop.awaitsReceipt("ord_2"); e != issued(2, "ord_2", 0) {
		t.Errorf("issued %+v to a free order", e)
	}
	first := shop.idAt("PAYMENTS", shop.Record("PAYMENTS", refunded("ord_1", 100)))
	if e := shop.awaitsCredit("ord_1", 100); e != credited(1, "ord_1", 1, first, 100) {
		t.Errorf("credited %+v", e)
	}
	second := shop.idAt("PAYMENTS", shop.Record("PAYMENTS", refunded("ord_1", 239)))
	if e := shop.awaitsCredit("ord_1", 239); e != credited(2, "ord_1", 1, second, 239) {
		t.Errorf("credited %+v", e)
	}

	var got query.ReceiptView
	shop.Get(query.Receipt{OrderID: "ord_1"}, ana, eventlog.Position("RECEIPTS", 4), &got)
	log := shop.log()
	if got.OrderedAt.IsZero() || got.PaidAt.Before(got.OrderedAt) || !got.IssuedAt.Equal(log[0].Time) || len(got.Credits) != 2 || !got.Credits[1].IssuedAt.Equal(log[3].Time) {
		t.Errorf("the times are %+v", got)
	}
	got.OrderedAt, got.PaidAt, got.IssuedAt = time.Time{}, time.Time{}, time.Time{}
	for i := range got.Credits {
		got.Credits[i].IssuedAt = time.Time{}
	}
	want := query.ReceiptView{Number: 1, OrderID: "ord_1", CustomerID: "usr_ana", TotalItems: 1, Total: gbp(339), Balance: gbp(0),
		Items:   []events.OrderItem{{SKU: "lamp", Name: "Lamp", Quantity: 1, UnitPrice: gbp(339), LineTotal: gbp(339)}},
		Credits: []query.CreditNote{{Number: 1, Amount: gbp(100)}, {Number: 2, Amount: gbp(239)}}}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
}

// What arrives first does not matter: a refund waits for the receipt.
func TestCredit_WaitsForTheReceipt(t *testing.T) {
	shop := open(t)
	shop.places("ord_1", 339)
	shop.places("ord_2", 339)
	refund := shop.idAt("PAYMENTS", shop.Record("PAYMENTS", refunded("ord_1", 339)))
	// Only the reaction to refunds runs, so there is no receipt.
	onlyCredits := New(Config{})
	onlyCredits.Reactions = onlyCredits.Reactions[1:]
	stop := shop.Run(onlyCredits, "a", t.TempDir())
	shop.delivered("receipts-on-payments", 2)
	if got := shop.log(); len(got) > 0 {
		t.Fatalf("recorded %+v", got)
	}
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	shop.Record("ORDERS", orderPaid("ord_1", 339))
	shop.Run(New(Config{}), "a", t.TempDir())
	if e := shop.awaitsCredit("ord_1", 339); e != credited(1, "ord_1", 1, refund, 339) {
		t.Errorf("credited %+v", e)
	}
}

// Money that comes when the order is cancelled already is given back without a credit note, and
// nothing waits for a receipt that will never be.
func TestCredit_NoneForWhatWasNeverPaid(t *testing.T) {
	shop := open(t, New(Config{}))
	shop.places("ord_late", 339)
	shop.Record("ORDERS", events.OrderCancelled{OrderID: "ord_late", Reason: events.PaymentHasExpired})
	shop.Record("PAYMENTS", events.PaymentCaptured{PaymentID: "pay_late", OrderID: "ord_late", Amount: gbp(339), Unwanted: true})
	shop.Record("PAYMENTS", refunded("ord_late", 339))
	shop.Record("PAYMENTS", refunded("ord_of_nobody", 339))
	shop.pays("ord_1")
	shop.awaitsReceipt("ord_1")
	shop.Record("PAYMENTS", refunded("ord_1", 339))
	shop.awaitsCredit("ord_1", 339)
	shop.handled("receipts-on-payments")
	if receipts, credits := shop.books(); len(receipts) != 1 || len(credits) != 1 {
		t.Errorf("receipts of %q, credit notes to %q", receipts, credits)
	}
}

// Fifty orders are paid at once, while two replicas run, of which one stops and comes back. The
// fault kill-parts of package chaos kills them instead.
func TestReceipts_OfRacingOrdersHaveNoGaps(t *testing.T) {
	const orders = 50
	shop := open(t, New(Config{}))
	dir := t.TempDir()
	stop := shop.Run(New(Config{}), "b", dir)
	var racing sync.WaitGroup
	for n := range orders {
		racing.Go(func() {
			id := number(n)
			shop.pays(id)
			for range 2 {
				shop.Record("PAYMENTS", refunded(id, 100))
			}
		})
	}
	shop.awaitsReceipt(number(7))
	if err := stop(); err != nil {
		t.Error(err)
	}
	racing.Wait()
	shop.Run(New(Config{}), "b", dir)
	for n := range orders {
		shop.awaitsReceipt(number(n))
	}
	shop.handled("receipts-on-orders")
	shop.handled("receipts-on-payments")
	if receipts, credits := shop.books(); len(receipts) != orders || len(credits) != 2*orders {
		t.Errorf("%d receipts and %d credit notes, want %d and %d", len(receipts), len(credits), orders, 2*orders)
	}
}

// At the first start with a log of earlier times, the receipts follow the log, whichever replica
// issues them. They were never handled, however long ago they were recorded.
func TestReceipts_OfAnOldLogFollowIt(t *testing.T) {
	const orders = 200
	shop := open(t)
	var want []string
	for n := range orders {
		id := number(n)
		shop.pays(id)
		want = append(want, string(id))
	}
	shop.Record("PAYMENTS", refunded(number(3), 339))
	for _, replica := range []string{"a", "b"} {
		shop.Run(New(Config{}), replica, t.TempDir())
	}
	shop.awaitsReceipt(number(orders - 1))
	shop.awaitsCredit(number(3), 339)
	if receipts, _ := shop.books(); !reflect.DeepEqual(receipts, want) {
		t.Errorf("the receipts are of %q", receipts)
	}
}
