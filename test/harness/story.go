package harness

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"lonja/events"
	"lonja/events/query"
)

// Up starts the whole shop in one process, on free ports.
func Up(t *testing.T, flags ...string) (*Process, *Shop) {
	t.Helper()
	p := Start(t, append([]string{"up", "--http", "127.0.0.1:0", "--nats", "127.0.0.1:0",
		"--admin-email", AdminEmail, "--admin-password", AdminPassword}, flags...)...)
	return p, At(t, p.Said["shop"])
}

// Story is the whole life of a shop: a product is created and sold, and orders are
// paid, shipped, delivered, cancelled, refunded, rejected and declined. It runs on
// any shop that has no products yet, however its parts are spread.
func Story(t *testing.T, s *Shop) {
	boss := s.Boss()
	boss.Sells("71053", 339, 10)
	boss.Sells("85123A", 255, 5)

	ana := s.As("ana")
	o := ana.Places(Pieces("71053", 2), Pieces("85123A", 1))
	if o.Status != query.AwaitingPayment || o.Total != (events.Money{Amount: 933, Currency: "GBP"}) || o.TotalItems != 3 {
		t.Fatalf("placed %+v", o)
	}
	WantStock(t, boss, "71053", query.StockView{SKU: "71053", OnHand: 10, Reserved: 2, Available: 8})
	o = ana.Pays(o)
	if o.Payment.Status != query.PaymentCaptured || !strings.HasPrefix(o.Payment.URL, s.URL) {
		t.Fatalf("paid %+v", o.Payment)
	}
	WantStock(t, boss, "71053", query.StockView{SKU: "71053", OnHand: 8, Reserved: 0, Available: 8})

	boss.Wants(200, "PATCH", "/api/orders/"+string(o.ID), map[string]string{"status": "shipped"}, &o)
	ana.Wants(409, "PATCH", "/api/orders/"+string(o.ID), map[string]string{"status": "cancelled"}, nil)
	boss.Wants(200, "PATCH", "/api/orders/"+string(o.ID), map[string]string{"status": "delivered"}, &o)
	if o.Status != query.Delivered || o.Payment == nil {
		t.Fatalf("delivered %+v", o)
	}
	WantTimeline(t, ana, o.ID, "order.placed", "stock.reserved", "order.awaiting_payment", "payment.requested",
		"payment.captured", "order.paid", "stock.committed", "order.shipped", "order.delivered")

	WantReceipt(t, ana, o, 1)

	ben := s.As("ben")
	ben.Wants(404, "GET", "/api/orders/"+string(o.ID), nil, nil)
	ben.Wants(404, "GET", "/api/orders/"+string(o.ID)+"/receipt", nil, nil)

	// A paid order that is cancelled is refunded, and its goods come back.
	o = ben.Pays(ben.Places(Pieces("85123A", 5-1)))
	WantStock(t, boss, "85123A", query.StockView{SKU: "85123A", OnHand: 0, Reserved: 0, Available: 0})
	ben.Wants(200, "PATCH", "/api/orders/"+string(o.ID), map[string]string{"status": "cancelled"}, nil)
	o = ben.Sees(o.ID, func(o query.OrderView) bool { return o.Payment.Status == query.PaymentRefunded })
	if o.Status != query.Cancelled || o.CancelReason != events.CancelledByCustomer {
		t.Fatalf("cancelled %+v", o)
	}
	WantStock(t, boss, "85123A", query.StockView{SKU: "85123A", OnHand: 4, Reserved: 0, Available: 4})
	WantReceipt(t, ben, o, 2, o.Total)

	// Too much, and a card that is declined.
	if o = ben.Places(Pieces("85123A", 5)); o.Status != query.Cancelled || o.CancelReason != events.OutOfStock {
		t.Fatalf("out of stock %+v", o)
	}
	// The goods stay his until he has paid with another card, or gives up.
	o = ben.Declines(ben.Places(Pieces("85123A", 4)))
	WantStock(t, boss, "85123A", query.StockView{SKU: "85123A", OnHand: 4, Reserved: 4, Available: 0})
	o = ben.Cancels(ben.Declines(ben.TriesAgain(o)))
	if o.Status != query.Cancelled || len(o.Payment.Attempts) != 2 || o.Payment.Attempts[1].Status != query.AttemptDeclined {
		t.Fatalf("declined %+v %+v", o, o.Payment)
	}
	WantStock(t, boss, "85123A", query.StockView{SKU: "85123A", OnHand: 4, Reserved: 0, Available: 4})
}

// WantStock waits until a product's stock is as wanted, for ten seconds at most.
func WantStock(t *testing.T, p *Person, sku string, want query.StockView) {
	t.Helper()
	Eventually(t, func() error {
		var got query.StockView
		p.Wants(200, "GET", "/api/products/"+sku+"/stock", nil, &got)
		if got != want {
			return fmt.Errorf("stock is %+v, want %+v", got, want)
		}
		return nil
	})
}

// WantReceipt waits until an order's receipt has the number and credit notes over the amounts,
// for ten seconds at most.
func WantReceipt(t *testing.T, p *Person, o query.OrderView, number int64, credits ...events.Money) {
	t.Helper()
	Eventually(t, func() error {
		a, err := p.Do("GET", "/api/orders/"+string(o.ID)+"/receipt", nil, "Accept", "application/json")
		if err != nil || a.Status != 200 {
			return fmt.Errorf("the receipt is %d %s, %w", a.Status, a.Body, err)
		}
		var r query.ReceiptView
		if err := json.Unmarshal(a.Body, &r); err != nil {
			return err
		}
		var noted []events.Money
		for _, n := range r.Credits {
			noted = append(noted, n.Amount)
		}
		if r.Number != number || r.OrderID != o.ID || r.Total != o.Total || !slices.Equal(r.Items, o.Items) || !slices.Equal(noted, credits) {
			return fmt.Errorf("the receipt is %+v, want number %d with credit notes over %v", r, number, credits)
		}
		return nil
	})
}

// WantTimeline waits until an order's timeline has these event types, for ten
// seconds at most.
func WantTimeline(t *testing.T, p *Person, id events.OrderID, types ...string) {
	t.Helper()
	Eventually(t, func() error {
		var entries []query.TimelineEntry
		p.Wants(200, "GET", "/api/orders/"+string(id)+"/timeline", nil, &entries)
		var got []string
		for _, e := range entries {
			got = append(got, strings.TrimSuffix(strings.TrimPrefix(e.Type, "lonja."), ".v1"))
		}
		if strings.Join(got, " ") != strings.Join(types, " ") {
			return fmt.Errorf("timeline is %v, want %v", got, types)
		}
		return nil
	})
}
