package gateway_test

import (
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"lonja/events"
	"lonja/shop/shoptest"
)

// standStill keeps every view from hearing of anything new until goOn.
func (s *wholeShop) standStill() (goOn func()) {
	s.t.Helper()
	type consumer struct{ stream, name string }
	var views []consumer
	for _, stream := range []string{"CATALOG", "INVENTORY", "ORDERS", "PAYMENTS", "RECEIPTS", "IDENTITY"} {
		st, err := s.JS.Stream(s.t.Context(), stream)
		if err != nil {
			s.t.Fatal(err)
		}
		for name := range st.ConsumerNames(s.t.Context()).Name() {
			if strings.Contains(name, "-a-") { // a replica's own: it feeds a view
				views = append(views, consumer{stream, name})
			}
		}
	}
	for _, v := range views {
		if _, err := s.JS.PauseConsumer(s.t.Context(), v.stream, v.name, time.Now().Add(time.Hour)); err != nil {
			s.t.Fatal(err)
		}
	}
	return func() {
		s.t.Helper()
		for _, v := range views {
			if _, err := s.JS.ResumeConsumer(s.t.Context(), v.stream, v.name); err != nil {
				s.t.Fatal(err)
			}
		}
	}
}

// Whatever address the shop hands out works at once, for whoever follows it, with
// no consistency token, at a replica whose views have heard of nothing yet.
func TestURLs_WorkAtOnceOnEveryReplica(t *testing.T) {
	shop := openWhole(t)
	seen := shop.stocks("lantern", 200, 10)
	goOn := shop.standStill()

	ana, _ := shop.registers("ana")
	product := shop.do("POST", "/api/products", events.Product{SKU: "new", Name: "New", Price: events.Money{Amount: 1, Currency: "GBP"}},
		"Authorization", shop.admin).expect(201, nil).Header.Get("Location")
	order := shop.do("POST", "/api/orders", `{"items":[{"sku":"lantern","quantity":1}]}`, "Authorization", ana, "Consistency-Token", seen).
		expect(201, nil).Header.Get("Location")
	payment := shoptest.Await(shop.Shop, func(events.PaymentRequested) bool { return true }).URL

	asked := make(chan struct{}, 100)
	watching := shop.Connect()
	if _, err := watching.Subscribe("queries.>", func(m *nats.Msg) {
		if m.Subject != "queries.identity.keys" {
			asked <- struct{}{}
		}
	}); err != nil {
		t.Fatal(err)
	}
	if err := watching.Flush(); err != nil {
		t.Fatal(err)
	}
	paths := []string{order, order + "/timeline", payment, product, product + "/stock", "/api/auth/verify"}
	answers := make(chan *response, 10)
	for _, path := range paths {
		go func() { answers <- shop.do("GET", path, nil, "Authorization", ana) }()
	}
	for range paths {
		<-asked
	}
	goOn()
	for range paths {
		(<-answers).expect(200, nil)
	}
	shop.do("GET", "/api/orders/ord_none", nil, "Authorization", ana).expectProblem(404, "not_found", "")
	shop.do("GET", "/sandbox/payments/pay_none", nil).expectProblem(404, "not_found", "")
}
