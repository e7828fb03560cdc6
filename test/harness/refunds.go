package harness

import (
	"fmt"
	"testing"

	"lonja/events"
	"lonja/events/query"
)

// RefundStory is the story of an order whose money goes back bit by bit: some pieces, which come back into
// stock, then an amount, then the rest. It runs on any shop that has none of its products yet.
func RefundStory(t *testing.T, s *Shop) {
	boss, cara := s.Boss(), s.As("cara")
	boss.Sells("22752", 400, 10)
	o := cara.Pays(cara.Places(Pieces("22752", 5)))
	path := "/api/orders/" + string(o.ID)
	refunds := path + "/refunds"
	type body = map[string]any
	lines := func(n int, restock bool) body {
		return body{"lines": []body{{"sku": "22752", "quantity": n, "restock": restock}}, "reason": "arrived broken"}
	}
	cara.Wants(403, "POST", refunds, body{}, nil)
	boss.Wants(422, "POST", refunds, lines(6, true), nil)

	var r query.RefundView
	boss.Wants(201, "POST", refunds, lines(2, true), &r)
	if r.Amount != pounds(800) || r.Status != query.RefundRequested || len(r.Lines) != 1 || r.Lines[0].Amount != pounds(800) {
		t.Fatalf("refunded by lines %+v", r)
	}
	o = cara.Sees(o.ID, func(o query.OrderView) bool { return o.Refunded != nil })
	if *o.Refunded != pounds(800) || o.Payment.Status != query.PaymentPartiallyRefunded || o.Status != query.Paid {
		t.Fatalf("refunded in part %+v %+v", o, o.Payment)
	}
	WantStock(t, boss, "22752", query.StockView{SKU: "22752", OnHand: 7, Reserved: 0, Available: 7})

	boss.Wants(409, "POST", refunds, lines(4, false), nil) // three are left
	boss.Wants(409, "POST", refunds, body{"amount": pounds(1201)}, nil)
	boss.Wants(201, "POST", refunds, body{"amount": pounds(200)}, &r)
	boss.Wants(200, "PATCH", path, map[string]string{"status": "shipped"}, nil)
	boss.Wants(201, "POST", refunds, body{}, &r) // the rest
	if r.Amount != pounds(1000) {
		t.Fatalf("refunded the rest %+v", r)
	}
	boss.Wants(409, "POST", refunds, body{}, nil)
	o = cara.Sees(o.ID, func(o query.OrderView) bool { return o.Payment.Status == query.PaymentRefunded })
	if *o.Refunded != o.Total || o.Status != query.Shipped {
		t.Fatalf("refunded in full %+v", o)
	}
	WantRefunds(t, cara, o.ID, "8.00 GBP refunded", "2.00 GBP refunded", "10.00 GBP refunded")

	// Cancelling a paid order refunds what is left, and its other pieces come back.
	o = cara.Pays(cara.Places(Pieces("22752", 3)))
	boss.Wants(201, "POST", "/api/orders/"+string(o.ID)+"/refunds", lines(1, true), nil)
	WantStock(t, boss, "22752", query.StockView{SKU: "22752", OnHand: 5, Reserved: 0, Available: 5})
	cara.Wants(200, "PATCH", "/api/orders/"+string(o.ID), map[string]string{"status": "cancelled"}, nil)
	cara.Sees(o.ID, func(o query.OrderView) bool { return o.Payment.Status == query.PaymentRefunded })
	WantStock(t, boss, "22752", query.StockView{SKU: "22752", OnHand: 7, Reserved: 0, Available: 7})
	WantRefunds(t, cara, o.ID, "4.00 GBP refunded", "8.00 GBP refunded")
	boss.Wants(409, "POST", "/api/orders/"+string(o.ID)+"/refunds", body{}, nil)
	s.As("dora").Wants(404, "GET", refunds, nil, nil)
}

func pounds(pence int64) events.Money { return events.Money{Amount: pence, Currency: "GBP"} }

// WantRefunds waits until an order's refunds are as wanted, for ten seconds at most.
func WantRefunds(t *testing.T, p *Person, id events.OrderID, want ...string) {
	t.Helper()
	Eventually(t, func() error {
		var all []query.RefundView
		p.Wants(200, "GET", "/api/orders/"+string(id)+"/refunds", nil, &all)
		var got []string
		for _, r := range all {
			got = append(got, r.Amount.String()+" "+r.Status)
		}
		if fmt.Sprint(got) != fmt.Sprint(want) {
			return fmt.Errorf("the refunds are %v, want %v", got, want)
		}
		return nil
	})
}
