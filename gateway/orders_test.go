package gateway_test

import (
	"encoding/json"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/nats-io/nats.go"

	"lonja/events/command"
	"lonja/events/query"
	"lonja/gateway"
	"lonja/kit/bus"
	"lonja/kit/errs"
	"lonja/kit/revocation"
)

const oneLamp = `{"items":[{"sku":"A","quantity":1}]}`

func TestPrefer_WaitsForTheOrderToSettle(t *testing.T) {
	shop := openWith(t, gateway.Config{PublicURL: "https://shop.example"})
	shop.fake("commands.orders.place", func(*nats.Msg) any {
		return receipt{entity: "ord_1", position: "ORDERS:3", body: query.OrderView{ID: "ord_1", Status: query.Placed}}
	})
	asked := make(chan query.Order, 10)
	after := make(chan string, 10)
	shop.fake("queries.orders.order", func(m *nats.Msg) any {
		var q query.Order
		if err := json.Unmarshal(m.Data, &q); err != nil {
			return errs.New(errs.Invalid, "%v", err)
		}
		asked <- q
		after <- header(m).After
		return query.OrderView{ID: "ord_1", Status: query.AwaitingPayment, Payment: &query.OrderPayment{}}
	})
	var order query.OrderView
	r := shop.do("POST", "/api/orders", oneLamp, "Authorization", shop.ana(), "Prefer", "respond-async, Wait=10; x=1", "Consistency-Token", "CATALOG:2").expect(201, &order)
	if order.Status != query.AwaitingPayment || r.Header.Get("Preference-Applied") != "wait=10" {
		t.Errorf("%s %v", r.body, r.Header)
	}
	if q := <-asked; q.OrderID != "ord_1" || q.Origin != "https://shop.example" || q.Await != 0 {
		t.Errorf("asked %+v", q)
	}
	if got := <-after; got != "CATALOG:2.ORDERS:3" || r.Header.Get("Consistency-Token") != got {
		t.Errorf("after %q, answered %q", got, r.Header.Get("Consistency-Token"))
	}
	for prefer, want := range map[string]string{"wait=100": "wait=30", `wait="7"`: "wait=7", "wait=-1": "", "wait=soon": "", "wait": "", "wait=0": "", "waiting=5": ""} {
		r := shop.do("POST", "/api/orders", oneLamp, "Authorization", shop.ana(), "Prefer", prefer).expect(201, nil)
		if got := r.Header.Get("Preference-Applied"); got != want {
			t.Errorf("%s: %q", prefer, got)
		}
	}
	// An order is placed even when nobody can say what became of it.
	shop.stopFake("queries.orders.order")
	shop.do("POST", "/api/orders", oneLamp, "Authorization", shop.ana(), "Prefer", "wait=10").expect(201, &order)
	if order.Status != query.Placed {
		t.Errorf("%+v", order)
	}
}

func TestCommandID_DependsOnKeyAndActor(t *testing.T) {
	shop := open(t)
	var ids []string
	id := make(chan string, 1)
	shop.fake("commands.orders.place", func(m *nats.Msg) any {
		id <- header(m).ID
		return receipt{entity: "ord_1", position: "ORDERS:3", body: struct{}{}}
	})
	place := func(authorization string, keys ...string) string {
		shop.keys = keys
		shop.do("POST", "/api/orders", oneLamp, "Authorization", authorization).expect(201, nil)
		shop.keys = nil
		return <-id
	}
	ana, bob := shop.ana(), shop.as("usr_bob", "customer")
	ids = append(ids, place(ana, "k"), place(ana, "j"), place(bob, "k"), place(ana), place(ana))
	seen := map[string]bool{}
	for _, id := range ids {
		seen[id] = true
	}
	if len(seen) != len(ids) {
		t.Errorf("ids are not all different: %v", ids)
	}
	if again := place(ana, "k"); again != ids[0] {
		t.Errorf("the same key made %s and %s", ids[0], again)
	}
}

func TestChangeStatus_SendsTheCommandOfTheStatus(t *testing.T) {
	shop := open(t)
	heard := make(chan string, 1)
	for _, c := range []command.Command{command.CancelOrder{}, command.ShipOrder{}, command.DeliverOrder{}} {
		shop.fake(command.Subject(c), func(m *nats.Msg) any {
			heard <- c.CommandName() + string(m.Data)
			return receipt{entity: "ord_1", position: "ORDERS:8", body: query.OrderView{ID: "ord_1", Status: "receipt"}}
		})
	}
	shop.fake("queries.orders.order", func(m *nats.Msg) any {
		return query.OrderView{ID: "ord_1", Status: header(m).After}
	})
	var order query.OrderView
	for status, want := range map[string]string{"cancelled": "orders.cancel", "shipped": "orders.ship", "delivered": "orders.deliver"} {
		shop.do("PATCH", "/api/orders/ord_1", map[string]string{"status": status}, "Authorization", shop.ana()).expect(200, &order)
		if got := <-heard; got != want+`{"order_id":"ord_1"}` || order.Status != "ORDERS:8" {
			t.Errorf("%s: heard %s, answered %+v", status, got, order)
		}
	}
	shop.stopFake("queries.orders.order")
	shop.do("PATCH", "/api/orders/ord_1", `{"status":"cancelled"}`, "Authorization", shop.ana()).expect(200, &order)
	if <-heard; order.Status != "receipt" {
		t.Errorf("without its view: %+v", order)
	}
}

// Whoever asks may send any Host: where customers pay is not theirs to say. Only
// a shop for this machine alone believes a Host, and only one of this machine's.
func TestOrigin_OfPaymentURLs(t *testing.T) {
	const ours, open = "http://shop.example:8080", "https://shop.example"
	local, public := openWith(t, ownMachine), openWith(t, gateway.Config{PublicURL: open})
	for _, shop := range []*testShop{local, public} {
		shop.fake("queries.orders.order", func(m *nats.Msg) any {
			var q query.Order
			_ = json.Unmarshal(m.Data, &q)
			return map[string]string{"origin": q.Origin}
		})
	}
	for host, want := range map[string]string{
		"localhost": "http://localhost", "localhost:8080": "http://localhost:8080", "127.0.0.1:8080": "http://127.0.0.1:8080",
		"127.8.8.8": "http://127.8.8.8", "[::1]:80": "http://[::1]:80",
		"evil.example": ours, "evil.example:8080": ours, "localhost.evil.example": ours, "127.0.0.1.evil.example": ours, "127.0.0.1@evil.example": ours,
		"evil.example#localhost": ours, "localhost/": ours, "10.0.0.1": ours, `a"b`: ours, "a@b": ours, "": ours,
	} {
		for shop, want := range map[*testShop]string{local: want, public: open} {
			req := httptest.NewRequest("GET", "/api/orders/ord_1", nil)
			req.Host = host
			req.Header.Set("Authorization", shop.ana())
			rec := httptest.NewRecorder()
			shop.server.Config.Handler.ServeHTTP(rec, req)
			if got := rec.Body.String(); got != `{"origin":"`+want+`"}` {
				t.Errorf("%s: %s, want %s", host, got, want)
			}
		}
	}
	if _, err := gateway.New(gateway.Config{Client: local.Client, Revoked: revocation.New(local.Conn), DeadLetters: bus.NewDeadLetterQueue(local.JS), Streams: local.Streams}); err == nil || !strings.Contains(err.Error(), "PublicURL is required") {
		t.Errorf("without a PublicURL: %v", err)
	}
	for _, bad := range []string{"shop.example", "ftp://shop.example", "https://shop.example/path", "https://u:p@shop.example", "https://"} {
		if _, err := gateway.New(gateway.Config{Client: local.Client, PublicURL: bad}); err == nil {
			t.Errorf("%q was taken", bad)
		}
	}
	if _, err := gateway.New(gateway.Config{}); err == nil {
		t.Error("a gateway without a client was made")
	}
}
