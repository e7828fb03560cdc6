package gateway_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/nats-io/nats.go"

	"lonja/events"
	"lonja/kit/bus"
)

// BenchmarkGateway measures the handler in front of a service that answers at
// once with a constant: what is left is the gateway and one NATS round trip,
// which bare measures alone.
func BenchmarkGateway(b *testing.B) {
	shop := open(b)
	constant := []byte(`{"id":"ord_0198f3a4c5d6e7f8a9b0c1d2e3f4a5b6","status":"placed","items":[{"sku":"71053","quantity":2}]}`)
	for _, subject := range []string{"commands.orders.place", "queries.orders.order", "queries.catalog.product", "queries.catalog.products"} {
		_, err := shop.Connect().Subscribe(subject, func(m *nats.Msg) {
			_ = m.RespondMsg(&nats.Msg{Header: nats.Header{bus.HeaderEntity: {"ord_1"}, bus.HeaderPosition: {"ORDERS:7"}}, Data: constant})
		})
		if err != nil {
			b.Fatal(err)
		}
	}
	shop.flush()
	handler := shop.server.Config.Handler
	run := func(name, method, path, body string, want int) {
		b.Run(name, func(b *testing.B) {
			token := shop.as("usr_ana", events.Customer)
			b.ReportAllocs()
			for b.Loop() {
				r := httptest.NewRequest(method, path, strings.NewReader(body))
				r.Header["Authorization"] = []string{token}
				w := httptest.NewRecorder()
				if handler.ServeHTTP(w, r); w.Code != want {
					b.Fatal(w.Code, w.Body)
				}
			}
		})
	}
	b.Run("bare", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := shop.Conn.RequestMsgWithContext(b.Context(), &nats.Msg{Subject: "queries.orders.order", Header: nats.Header{"ce-id": {"x"}}}); err != nil {
				b.Fatal(err)
			}
		}
	})
	run("GET order", "GET", "/api/orders/ord_1", "", http.StatusOK)
	run("GET product", "GET", "/api/products/71053", "", http.StatusOK)
	run("GET products", "GET", "/api/products?q=lantern&limit=20", "", http.StatusOK)
	run("POST order", "POST", "/api/orders", `{"items":[{"sku":"71053","quantity":2},{"sku":"85123A","quantity":6}]}`, http.StatusCreated)
	run("healthz", "GET", "/healthz", "", http.StatusOK)
}
