package receipts

import (
	"testing"

	"lonja/kit/service"
)

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
