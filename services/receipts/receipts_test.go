package receipts

import (
	"fmt"
	"reflect"
	"sync"
	"testing"
	"time"

	"lonja/events"
	"lonja/events/query"
	"lonja/kit/errs"
	"lonja/kit/eventlog"
	"lonja/kit/service"
	"lonja/shop/shoptest"
)

var (
	ana  = eventlog.Actor{ID: "usr_ana", Roles: []string{events.Customer}}
	bo   = eventlog.Actor{ID: "usr_bo", Roles: []string{events.Customer}}
	rita = eventlog.Actor{ID: "usr_rita", Roles: []string{events.Staff}}
)

// desk is a shop that runs receipts, with steps and checks for its tests.
type desk struct {
	*shoptest.Shop
	t *testing.T
}

func open(t *testing.T, services ...*service.Service) desk {
	return desk{shoptest.Start(t, services...), t}
}

func number(n int) events.OrderID { return events.OrderID(fmt.Sprintf("ord_%d", n)) }

// places records that ana has placed an order of one lamp.
func (d desk) places(id events.OrderID, pence int64) string {
	d.t.Helper()
	return d.Record("ORDERS", events.OrderPlaced{OrderID: id, CustomerID: "usr_ana", Total: gbp(pence), TotalItems: 1,
		Items: []events.OrderItem{{SKU: "lamp", Name: "Lamp", Quantity: 1, UnitPrice: gbp(pence), LineTotal: gbp(pence)}}})
}

// pays records that orders are placed and paid.
func (d desk) pays(ids ...events.OrderID) {
	d.t.Helper()
	for _, id := range ids {
		d.places(id, 339)
		d.Record("ORDERS", orderPaid(id, 339))
	}
}

// log returns all that is recorded on RECEIPTS.
func (d desk) log() (recorded []eventlog.Record) {
	d.t.Helper()
	stream, err := d.JS.Stream(d.t.Context(), "RECEIPTS")
	if err != nil {
		d.t.Fatal(err)
	}
	log := eventlog.New(d.JS, shoptest.Codec)
	for seq := range stream.CachedInfo().State.LastSeq {
		r, err := log.At(d.t.Context(), "RECEIPTS", seq+1)
		if err != nil || r.Event == nil {
			d.t.Fatalf("RECEIPTS:%d: %v %v", seq+1, err, r.Err)
		}
		recorded = append(recorded, r)
	}
	return recorded
}

// books returns the keys of all entries by their numbers, and fails the test if a number is
// missing or comes twice, or if a key does.
func (d desk) books() (receipts, credits []string) {
	d.t.Helper()
	seen := map[string]bool{}
	for _, r := range d.log() {
		book := &receipts
		if _, is := r.Event.(events.ReceiptCredited); is {
			book = &credits
		}
		key, n := entryOf(r.Event)
		if n != int64(len(*book)+1) || seen[key] {
			d.t.Errorf("RECEIPTS:%d is %+v, after %d others", r.Sequence, r.Event, len(*book))
		}
		*book, seen[key] = append(*book, key), true
	}
	return receipts, credits
}

// awaitsReceipt waits for the receipt of an order.
func (d desk) awaitsReceipt(id events.OrderID) events.ReceiptIssued {
	d.t.Helper()
	return shoptest.Await(d.Shop, func(e events.ReceiptIssued) bool { return e.OrderID == id })
}

func (d desk) awaitsCredit(id events.OrderID, pence int64) events.ReceiptCredited {
	d.t.Helper()
	return shoptest.Await(d.Shop, func(e events.ReceiptCredited) bool { return e.OrderID == id && e.Amount == gbp(pence) })
}

// idAt returns the id of the event at a position.
func (d desk) idAt(stream, position string) string {
	d.t.Helper()
	var seq uint64
	if _, err := fmt.Sscanf(position, stream+":%d", &seq); err != nil {
		d.t.Fatal(err)
	}
	r, err := eventlog.New(d.JS, shoptest.Codec).At(d.t.Context(), stream, seq)
	if err != nil {
		d.t.Fatal(err)
	}
	return r.ID
}

// handled waits until a consumer has nothing left.
func (d desk) handled(consumer string) {
	d.t.Helper()
	deadline := time.Now().Add(20 * time.Second)
	for {
		cons, err := d.Streams.Ensure(d.t.Context(), d.JS, consumer)
		if err != nil {
			d.t.Fatal(err)
		}
		info, err := cons.Info(d.t.Context())
		if err != nil {
			d.t.Fatal(err)
		}
		if info.NumPending == 0 && info.NumAckPending == 0 {
			return
		}
		if time.Now().After(deadline) {
			d.t.Fatalf("%s has %d messages left", consumer, info.NumPending+uint64(info.NumAckPending))
		}
	}
}

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

// delivered waits until a consumer has delivered its first message so many times.
func (d desk) delivered(consumer string, times uint64) {
	d.t.Helper()
	deadline := time.Now().Add(20 * time.Second)
	for {
		cons, err := d.Streams.Ensure(d.t.Context(), d.JS, consumer)
		if err != nil {
			d.t.Fatal(err)
		}
		info, err := cons.Info(d.t.Context())
		if err != nil {
			d.t.Fatal(err)
		}
		if info.Delivered.Consumer >= times {
			return
		}
		if time.Now().After(deadline) {
			d.t.Fatalf("%s has delivered %d times, want %d", consumer, info.Delivered.Consumer, times)
		}
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

// Fifty orders are paid at once, while two replicas run, of which one is killed and comes back.
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

// withoutRows is a service whose view has no rows of its books, as while it is being rebuilt: what
// the books have forgotten is read from the log.
func withoutRows(keeps int) *service.Service {
	s := New(Config{keeps: keeps})
	s.Views, s.Reactions, s.Queries = nil, s.Reactions[:1], nil
	return s
}

// An event that is delivered again very late, as a dead letter that is retried or after a
// consumer was made anew, finds the entry that the book has forgotten.
func TestReceipts_NoneAgainAfterTheBookHasForgottenThem(t *testing.T) {
	for name, receipts := range map[string]*service.Service{"with rows": New(Config{keeps: 2}), "without rows": withoutRows(2)} {
		t.Run(name, func(t *testing.T) {
			shop := open(t)
			stop := shop.Run(receipts, "a", t.TempDir())
			for n := range 8 {
				shop.pays(number(n))
			}
			shop.awaitsReceipt(number(7))
			shop.handled("receipts-on-orders")
			if err := stop(); err != nil {
				t.Fatal(err)
			}
			// Every event comes again, as itself and as another one about the same order.
			if err := shop.JS.DeleteConsumer(t.Context(), "ORDERS", "receipts-on-orders"); err != nil {
				t.Fatal(err)
			}
			for n := range 8 {
				shop.Record("ORDERS", orderPaid(number(n), 339))
			}
			shop.pays("ord_new")
			if err := shop.Streams.Apply(t.Context(), shop.JS, 0); err != nil {
				t.Fatal(err)
			}
			again := New(Config{keeps: 2})
			if name == "without rows" {
				again = withoutRows(2)
			}
			shop.Run(again, "a", t.TempDir())
			shop.awaitsReceipt("ord_new")
			shop.handled("receipts-on-orders")
			if receipts, _ := shop.books(); len(receipts) != 9 {
				t.Errorf("receipts of %q", receipts)
			}
		})
	}
}

func TestCredits_NoneAgainAfterTheBookHasForgottenThem(t *testing.T) {
	shop := open(t)
	stop := shop.Run(New(Config{keeps: 2}), "a", t.TempDir())
	shop.pays("ord_1")
	for n := range 8 {
		shop.Record("PAYMENTS", refunded("ord_1", int64(n+1)))
	}
	shop.handled("receipts-on-payments")
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	if err := shop.JS.DeleteConsumer(t.Context(), "PAYMENTS", "receipts-on-payments"); err != nil {
		t.Fatal(err)
	}
	if err := shop.Streams.Apply(t.Context(), shop.JS, 0); err != nil {
		t.Fatal(err)
	}
	shop.Run(New(Config{keeps: 2}), "a", t.TempDir())
	shop.handled("receipts-on-payments")
	if _, credits := shop.books(); len(credits) != 8 {
		t.Errorf("credit notes to %q", credits)
	}
}

func TestReceipt_IsSeenByItsOwnerAndStaffOnly(t *testing.T) {
	shop := open(t, New(Config{}))
	shop.pays("ord_1")
	shop.awaitsReceipt("ord_1")
	placed := shop.places("ord_2", 339)
	for _, test := range []struct {
		as    eventlog.Actor
		order events.OrderID
		code  errs.Code // "" for none
		says  string
	}{
		{as: ana, order: "ord_1"},
		{as: rita, order: "ord_1"},
		{as: bo, order: "ord_1", code: errs.NotFound, says: "there is no order ord_1"},
		{as: eventlog.Actor{}, order: "ord_1", code: errs.Unauthenticated, says: "log in first"},
		{as: ana, order: "ord_2", code: errs.NotFound, says: "order ord_2 has no receipt, since it is not paid"},
		{as: bo, order: "ord_2", code: errs.NotFound, says: "there is no order ord_2"},
		{as: ana, order: "ord_3", code: errs.NotFound, says: "there is no order ord_3"},
		{as: ana, order: "a.b", code: errs.Invalid, says: "order_id must be 1 to 64 letters, digits, '_' or '-'"},
	} {
		_, err := shop.Query(t.Context(), query.Receipt{OrderID: test.order}, eventlog.Envelope{Actor: test.as, After: placed})
		if test.code == "" {
			if err != nil {
				t.Errorf("%s for %s: %v", test.order, test.as.ID, err)
			}
			continue
		}
		if !errs.Is(err, test.code) || err.Error() != string(test.code)+": "+test.says {
			t.Errorf("%s for %s: got %v, want %s: %s", test.order, test.as.ID, err, test.code, test.says)
		}
	}
}

// Whoever has just paid gets the receipt without asking twice, from any replica.
func TestReceipt_IsWaitedForOnceTheOrderIsPaid(t *testing.T) {
	shop := open(t, New(Config{}))
	shop.Run(New(Config{}), "b", t.TempDir())
	for n := range 20 {
		shop.pays(number(n))
		var got query.ReceiptView
		shop.Get(query.Receipt{OrderID: number(n)}, ana, "", &got)
		if got.Number != int64(n+1) {
			t.Errorf("receipt %d, want %d", got.Number, n+1)
		}
	}
}

// A receipt that cannot be issued now is no reason to say that there is none.
func TestReceipt_IsUnavailableWhileItCannotBeIssued(t *testing.T) {
	noReaction := New(Config{})
	noReaction.Reactions = nil
	shop := open(t, noReaction)
	shop.pays("ord_1")
	_, err := shop.Query(t.Context(), query.Receipt{OrderID: "ord_1"}, eventlog.Envelope{Actor: ana})
	if !errs.Is(err, errs.Unavailable) {
		t.Errorf("got %v", err)
	}
}
