package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os/exec"
	"strings"
	"testing"

	"lonja/events"
	"lonja/events/query"
)

func up(t *testing.T, flags ...string) (*process, *shop) {
	t.Helper()
	p := start(t, append([]string{"up", "--http", "127.0.0.1:0", "--nats", "127.0.0.1:0",
		"--admin-email", adminEmail, "--admin-password", adminPassword}, flags...)...)
	return p, &shop{t, p.said["shop"]}
}

// story is the whole life of a shop in one piece, whatever it runs on.
func story(t *testing.T, s *shop) {
	boss := s.boss()
	boss.sells("71053", 339, 10)
	boss.sells("85123A", 255, 5)

	ana := s.as("ana")
	o := ana.places(pieces("71053", 2), pieces("85123A", 1))
	if o.Status != query.AwaitingPayment || o.Total != (events.Money{Amount: 933, Currency: "GBP"}) || o.TotalItems != 3 {
		t.Fatalf("placed %+v", o)
	}
	wantStock(t, boss, "71053", query.StockView{SKU: "71053", OnHand: 10, Reserved: 2, Available: 8})
	o = ana.pays(o)
	if o.Payment.Status != query.PaymentCaptured || !strings.HasPrefix(o.Payment.URL, s.url) {
		t.Fatalf("paid %+v", o.Payment)
	}
	wantStock(t, boss, "71053", query.StockView{SKU: "71053", OnHand: 8, Reserved: 0, Available: 8})

	boss.wants(200, "PATCH", "/api/orders/"+string(o.ID), map[string]string{"status": "shipped"}, &o)
	ana.wants(409, "PATCH", "/api/orders/"+string(o.ID), map[string]string{"status": "cancelled"}, nil)
	boss.wants(200, "PATCH", "/api/orders/"+string(o.ID), map[string]string{"status": "delivered"}, &o)
	if o.Status != query.Delivered || o.Payment == nil {
		t.Fatalf("delivered %+v", o)
	}
	wantTimeline(t, ana, o.ID, "order.placed", "stock.reserved", "order.awaiting_payment", "payment.requested",
		"payment.captured", "order.paid", "stock.committed", "order.shipped", "order.delivered")

	ben := s.as("ben")
	ben.wants(404, "GET", "/api/orders/"+string(o.ID), nil, nil)

	// A paid order that is cancelled is refunded, and its goods come back.
	o = ben.pays(ben.places(pieces("85123A", 5-1)))
	wantStock(t, boss, "85123A", query.StockView{SKU: "85123A", OnHand: 0, Reserved: 0, Available: 0})
	ben.wants(200, "PATCH", "/api/orders/"+string(o.ID), map[string]string{"status": "cancelled"}, nil)
	o = ben.sees(o.ID, func(o query.OrderView) bool { return o.Payment.Status == query.PaymentRefunded })
	if o.Status != query.Cancelled || o.CancelReason != events.CancelledByCustomer {
		t.Fatalf("cancelled %+v", o)
	}
	wantStock(t, boss, "85123A", query.StockView{SKU: "85123A", OnHand: 4, Reserved: 0, Available: 4})

	// Too much, and a card that is declined.
	if o = ben.places(pieces("85123A", 5)); o.Status != query.Cancelled || o.CancelReason != events.OutOfStock {
		t.Fatalf("out of stock %+v", o)
	}
	o = ben.settles(ben.places(pieces("85123A", 4)), "decline", query.Cancelled)
	if o.CancelReason != events.PaymentWasDeclined || o.Payment.Status != query.PaymentDeclined {
		t.Fatalf("declined %+v %+v", o, o.Payment)
	}
	wantStock(t, boss, "85123A", query.StockView{SKU: "85123A", OnHand: 4, Reserved: 0, Available: 4})
}

func wantStock(t *testing.T, p *person, sku string, want query.StockView) {
	t.Helper()
	eventually(t, func() error {
		var got query.StockView
		p.wants(200, "GET", "/api/products/"+sku+"/stock", nil, &got)
		if got != want {
			return fmt.Errorf("stock is %+v, want %+v", got, want)
		}
		return nil
	})
}

func wantTimeline(t *testing.T, p *person, id events.OrderID, facts ...string) {
	t.Helper()
	eventually(t, func() error {
		var entries []query.TimelineEntry
		p.wants(200, "GET", "/api/orders/"+string(id)+"/timeline", nil, &entries)
		var got []string
		for _, e := range entries {
			got = append(got, strings.TrimSuffix(strings.TrimPrefix(e.Type, "lonja."), ".v1"))
		}
		if strings.Join(got, " ") != strings.Join(facts, " ") {
			return fmt.Errorf("timeline is %v, want %v", got, facts)
		}
		return nil
	})
}

func TestTheWholeStoryInOneProcess(t *testing.T) {
	p, s := up(t, "--data", t.TempDir())
	story(t, s)
	s.boss().sells("22423", 1275, 1)
	eve := s.as("eve")
	o := eve.sees(eve.places(pieces("22423", 1)).ID, func(o query.OrderView) bool { return o.Payment != nil })
	req, err := http.NewRequestWithContext(t.Context(), "GET", s.url+"/api/orders/"+string(o.ID), nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Host = "evil.example" // whoever sends it is told where the shop listens
	req.Header.Set("Authorization", "Bearer "+eve.token)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if err := json.NewDecoder(resp.Body).Decode(&o); err != nil || !strings.HasPrefix(o.Payment.URL, s.url) {
		t.Errorf("where to pay: %+v (%v)", o.Payment, err)
	}
	p.stop()
}

func TestTheWholeStoryAsSeparateProcessesTwoReplicasEach(t *testing.T) {
	nats := startNATS(t)
	against := func(args ...string) *process { return start(t, append(args, "--nats", nats)...) }
	runOnce(t, "streams", "apply", "--nats", nats)
	var all []*process
	for _, name := range serviceNames {
		for _, replica := range []string{"a", "b"} {
			all = append(all, against("service", name, "--data", t.TempDir(), "--replica", replica, "--sandbox",
				"--admin-email", adminEmail, "--admin-password", adminPassword))
		}
	}
	gateway, other := against(gatewayOn(freeAddr(t))...), against(gatewayOn(freeAddr(t))...)
	story(t, &shop{t, gateway.said["shop"]})
	(&shop{t, other.said["shop"]}).boss()
	for _, p := range append(all, gateway, other) {
		p.stop()
	}
}

func TestTwoProcessesDoNotShareAFolder(t *testing.T) {
	data := t.TempDir()
	p, _ := up(t, "--data", data)
	out, err := exec.Command(binary, "up", "--data", data, "--http", "127.0.0.1:0", "--nats", "127.0.0.1:0").CombinedOutput()
	if err == nil || !strings.Contains(string(out), "in use by another process") {
		t.Fatalf("a second one started: %v\n%s", err, out)
	}
	p.stop()
}
