package receipts

import (
	"testing"

	"lonja/events"
	"lonja/events/query"
	"lonja/kit/errs"
	"lonja/kit/eventlog"
)

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
