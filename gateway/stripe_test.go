package gateway_test

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/stripe/stripe-go/v85/webhook"

	"lonja/events"
	"lonja/events/query"
	"lonja/gateway"
	"lonja/kit/bus"
	"lonja/kit/errs"
	"lonja/kit/eventlog"
	"lonja/services/payments"
	"lonja/shop/shoptest"
)

const stripeSecret, stripeSecretBefore = "whsec_present_secret", "whsec_former_secret"

var withStripe = gateway.Config{StripeSecrets: []string{stripeSecretBefore, stripeSecret}}

// reports sends an event as Stripe does, signed at a time, with stripe-go's own code.
func (f *testShop) reports(body, secret string, at time.Time) *response {
	f.t.Helper()
	signed := webhook.GenerateTestSignedPayload(&webhook.UnsignedPayload{Payload: []byte(body), Secret: secret, Timestamp: at})
	return f.do("POST", "/webhooks/stripe", body, "Stripe-Signature", signed.Header, "Content-Type", "application/json; charset=utf-8")
}

// sessionEvent is an event about a session, with more than the shop wants to know.
func sessionEvent(id, typ, session, payment string, amount int, status string) string {
	return fmt.Sprintf(`{"id":%q,"object":"event","type":%q,"api_version":"2024-01-01","data":{"object":{"id":%q,"object":"checkout.session","payment_status":%q,
		"payment_intent":"pi_%s","amount_total":%d,"currency":"gbp","customer_details":{"email":"ana@example.com","name":"Ana"},"metadata":{"payment_id":%q,"order_id":"ord_1","attempt":"1"}}}}`,
		id, typ, session, status, id, amount, payment)
}

func TestStripeReports_SignaturesAreChecked(t *testing.T) {
	shop := openWith(t, withStripe)
	body, now := sessionEvent("evt_1", "checkout.session.completed", "cs_1", "pay_1", 678, "paid"), time.Now()
	shop.reports(body, stripeSecret, now).expect(200, nil)
	shop.reports(body, stripeSecretBefore, now.Add(-4*time.Minute)).expect(200, nil)
	shop.reports(body, "whsec_of_somebody", now).expectProblem(400, errs.Invalid, "")
	shop.reports(body, stripeSecret, now.Add(-6*time.Minute)).expectProblem(400, errs.Invalid, "")
	shop.reports(body, stripeSecret, now.Add(6*time.Minute)).expectProblem(400, errs.Invalid, "")
	shop.do("POST", "/webhooks/stripe", body).expectProblem(400, errs.Invalid, "")
	good := webhook.GenerateTestSignedPayload(&webhook.UnsignedPayload{Payload: []byte(body), Secret: stripeSecret, Timestamp: now}).Header
	shop.do("POST", "/webhooks/stripe", strings.Replace(body, "678", "6", 1), "Stripe-Signature", good).expectProblem(400, errs.Invalid, "")
	shop.do("POST", "/webhooks/stripe", body, "Stripe-Signature", "t=1,v1=00,"+good[strings.Index(good, "v1="):]).expectProblem(400, errs.Invalid, "")
	// Stripe signs with each secret that it has, so one of several signatures is enough.
	shop.do("POST", "/webhooks/stripe", body, "Stripe-Signature", strings.Replace(good, "v1=", "v1=00ff,v0=1,v1=", 1)).expect(200, nil)
	shop.reports(`{"object":"event"}`, stripeSecret, now).expectProblem(400, errs.Invalid, "")
	shop.reports("nothing", stripeSecret, now).expectProblem(400, errs.Invalid, "")
	shop.reports(strings.Repeat("a", 256<<10+1), stripeSecret, now).expectProblem(413, errs.Invalid, "")
	if n := shop.left(); n != 1 {
		t.Errorf("%d commands were left, want 1", n)
	}
}

func TestStripeReports_AreStoredOnceAndThin(t *testing.T) {
	shop := openWith(t, withStripe)
	for range 3 {
		shop.reports(sessionEvent("evt_1", "checkout.session.completed", "cs_1", "pay_1", 678, "paid"), stripeSecret, time.Now()).expect(200, nil)
	}
	shop.reports(sessionEvent("evt_2", "checkout.session.completed", "cs_1", "pay_1", 678, "unpaid"), stripeSecret, time.Now()).expect(200, nil)
	shop.reports(sessionEvent("evt_3", "customer.created", "cs_1", "pay_1", 678, ""), stripeSecret, time.Now()).expect(200, nil)
	if n := shop.left(); n != 1 {
		t.Fatalf("%d commands were left, want 1", n)
	}
	for _, other := range []string{
		sessionEvent("evt_4", "checkout.session.async_payment_succeeded", "cs_1", "pay_1", 678, "paid"),
		sessionEvent("evt_5", "checkout.session.async_payment_failed", "cs_1", "pay_1", 678, "unpaid"),
		sessionEvent("evt_6", "checkout.session.expired", "cs_1", "pay 1", 678, "unpaid"),
		`{"id":"evt_7","type":"charge.dispute.created","data":{"object":{"id":"dp_1","payment_intent":{"id":"pi_1"},"amount":5,"currency":"gbp"}}}`,
		`{"id":"evt_8","type":"refund.failed","data":{"object":{"id":"re_1","payment_intent":"pi_1","amount":5,"currency":"gbp"}}}`,
	} {
		shop.reports(other, stripeSecret, time.Now()).expect(200, nil)
	}
	stream, err := shop.JS.Stream(t.Context(), bus.DeferredStream)
	if err != nil {
		t.Fatal(err)
	}
	want := []string{`"outcome":"pay","payment_id":"pay_1","attempt":1,"reference":"cs_1","capture":"pi_evt_1","amount":678,"currency":"GBP"`,
		`"outcome":"pay"`, `"outcome":"decline"`, `"outcome":"expire","attempt":1`, `"outcome":"dispute","capture":"pi_1","amount":5`, `"outcome":"refund_failure"`}
	for i, part := range want {
		m, err := stream.GetMsg(t.Context(), uint64(i+1))
		if err != nil {
			t.Fatal(err)
		}
		if !strings.HasPrefix(m.Subject, "deferred.payments.report.") || !strings.Contains(string(m.Data), part) || m.Header.Get(eventlog.HeaderActor) != "provider:stripe" {
			t.Errorf("left %s %s, want %s", m.Subject, m.Data, part)
		}
		if strings.Contains(string(m.Data), "example.com") || strings.Contains(string(m.Data), "Ana") {
			t.Errorf("left what is nobody's business: %s", m.Data)
		}
	}
}

func TestStripeReports_AreNotAcknowledgedUnlessTheyAreStored(t *testing.T) {
	shop := openWith(t, withStripe)
	if err := shop.JS.DeleteStream(t.Context(), bus.DeferredStream); err != nil {
		t.Fatal(err)
	}
	shop.reports(sessionEvent("evt_1", "checkout.session.completed", "cs_1", "pay_1", 678, "paid"), stripeSecret, time.Now()).expectProblem(503, errs.Unavailable, "")
}

func TestStripeReports_AreNotTakenWithoutASecret(t *testing.T) {
	shop := open(t)
	shop.reports(sessionEvent("evt_1", "checkout.session.completed", "cs_1", "pay_1", 678, "paid"), stripeSecret, time.Now()).expectProblem(404, errs.NotFound, "")
	for _, s := range [][]string{{"sk_live_key"}, {"whsec_"}} {
		if gateway.CheckStripeSecrets(s) == nil {
			t.Errorf("%q were taken for secrets", s)
		}
	}
}

// A storm while payments is down: each report comes one to five times, in any order, signed anew.
// When payments is back, each payment is captured once.
func TestStripeReports_AStormWhilePaymentsIsDown(t *testing.T) {
	const orders = 12
	stripe, err := payments.OpenProviders([]string{"stripe"}, payments.Settings{ReturnURL: "https://shop.example", StripeKey: "sk_test_1", StripeAPI: "http://127.0.0.1:1"})
	if err != nil {
		t.Fatal(err)
	}
	shop := openWith(t, withStripe)
	var storm []string
	for n := range orders {
		id := fmt.Sprintf("ord_%d", n)
		shop.Record("ORDERS", events.OrderAwaitingPayment{OrderID: events.OrderID(id), Amount: events.Money{Amount: 678, Currency: "GBP"}})
		for _, typ := range []string{"checkout.session.completed", "checkout.session.expired", "checkout.session.async_payment_failed"} {
			for range 1 + rand.IntN(5) {
				storm = append(storm, sessionEvent("evt_"+typ[len("checkout.session."):]+fmt.Sprint(n), typ, "cs_"+fmt.Sprint(n), fmt.Sprintf("pay_%d", n), 678, "paid"))
			}
		}
	}
	// Payments has requested the money, and is down when the reports come.
	dir := t.TempDir()
	stop := shop.Run(payments.New(payments.Config{Providers: stripe}), "a", dir)
	for n := range orders {
		shoptest.Await(shop.Shop, func(e events.PaymentRequested) bool { return e.OrderID == events.OrderID(fmt.Sprintf("ord_%d", n)) })
	}
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	rand.Shuffle(len(storm), func(i, j int) { storm[i], storm[j] = storm[j], storm[i] })
	for i, body := range storm {
		shop.reports(body, stripeSecret, time.Now().Add(-time.Duration(i%200)*time.Second)).expect(http.StatusOK, nil)
	}
	shop.Run(payments.New(payments.Config{Providers: stripe}), "a", dir)
	captured := map[string]int{}
	for n := range orders {
		id := events.PaymentID(fmt.Sprintf("pay_%d", n))
		shoptest.Await(shop.Shop, func(e events.PaymentCaptured) bool { return e.PaymentID == id })
	}
	shop.awaitOutcomes(3 * orders)
	stream, err := shop.JS.Stream(t.Context(), "PAYMENTS")
	if err != nil {
		t.Fatal(err)
	}
	for seq := uint64(1); seq <= stream.CachedInfo().State.LastSeq; seq++ {
		m, err := stream.GetMsg(t.Context(), seq)
		if err != nil {
			t.Fatal(err)
		}
		if m.Header.Get(eventlog.HeaderType) == "lonja.payment.captured.v1" {
			captured[m.Subject]++
		}
		if m.Header.Get(eventlog.HeaderType) == "lonja.payment.flagged.v1" {
			t.Errorf("flagged: %s", m.Data)
		}
	}
	if len(captured) != orders {
		t.Errorf("%d of %d payments were captured", len(captured), orders)
	}
	for payment, times := range captured {
		if times != 1 {
			t.Errorf("%s was captured %d times", payment, times)
		}
	}
}

// awaitOutcomes waits until so many deferred commands have an outcome.
func (f *testShop) awaitOutcomes(n int) {
	f.t.Helper()
	sub, err := f.JS.OrderedConsumer(f.t.Context(), bus.DeferredStream, jetstream.OrderedConsumerConfig{FilterSubjects: []string{bus.OutcomeSubject("*")}})
	if err != nil {
		f.t.Fatal(err)
	}
	messages, err := sub.Messages()
	if err != nil {
		f.t.Fatal(err)
	}
	defer messages.Stop()
	for range n {
		if _, err := messages.Next(jetstream.NextContext(f.t.Context())); err != nil {
			f.t.Fatal(err)
		}
	}
}

// A customer whose card is declined pays with another attempt; staff see what needs attention.
func TestOrder_IsPaidByAnotherAttempt(t *testing.T) {
	shop := openWhole(t)
	seen := shop.stocks("71053", 339, 10)
	ana, _ := shop.registers("ana")
	bob, _ := shop.registers("bob")
	var order query.OrderView
	path := shop.do("POST", "/api/orders", `{"items":[{"sku":"71053","quantity":2}]}`, "Authorization", ana,
		"Consistency-Token", seen, "Prefer", "wait=10").expect(201, &order).Header.Get("Location")
	page := strings.TrimPrefix(order.Payment.URL, shop.server.URL)
	declined := shop.do("POST", page, `{"outcome":"decline"}`).expect(200, nil)
	if html := string(shop.do("GET", page+"?after="+url.QueryEscape(declined.Header.Get("Consistency-Token")), nil, "Accept", "text/html").expect(200, nil).body); strings.Contains(html, "<button") || !strings.Contains(html, "failed") {
		t.Errorf("the page after a decline: %s", html)
	}
	order = query.OrderView{}
	shop.do("GET", path, nil, "Authorization", ana, "Consistency-Token", declined.Header.Get("Consistency-Token")).expect(200, &order)
	if order.Status != query.AwaitingPayment || order.Payment.URL != "" || len(order.Payment.Attempts) != 1 || order.Payment.Attempts[0].Status != query.AttemptDeclined {
		t.Fatalf("after a decline: %+v %+v", order, order.Payment)
	}
	shop.do("POST", path+"/payments", nil, "Authorization", bob).expectProblem(404, errs.NotFound, "*")
	shop.do("POST", path+"/payments", nil).expectProblem(401, errs.Unauthenticated, "*")
	shop.do("POST", path+"/payments", `{"provider":"nobody"}`, "Authorization", ana).expectProblem(422, errs.Invalid, "provider")
	order = query.OrderView{}
	for range 2 { // the same key makes one attempt
		shop.do("POST", path+"/payments", nil, "Authorization", ana, "Idempotency-Key", "again", "Prefer", "wait=5").expect(201, &order)
	}
	if len(order.Payment.Attempts) != 2 || order.Payment.Attempts[1].Status != query.AttemptOpen || !strings.HasSuffix(order.Payment.URL, page) {
		t.Fatalf("tried again: %+v", order.Payment)
	}
	paid := shop.do("POST", page, `{"outcome":"pay"}`).expect(200, nil)
	shoptest.Await(shop.Shop, func(e events.OrderPaid) bool { return e.OrderID == order.ID })
	shop.do("GET", path, nil, "Authorization", ana, "Consistency-Token", paid.Header.Get("Consistency-Token")).expect(200, &order)
	if order.Payment.Status != query.PaymentCaptured || order.Payment.Attempts[1].Status != query.AttemptCaptured {
		t.Errorf("paid: %+v", order.Payment)
	}
	shop.do("POST", path+"/payments", nil, "Authorization", ana).expectProblem(409, errs.Conflict, "*")

	var list query.List[query.PaymentFlag]
	shop.do("GET", "/api/payments?attention=true", nil, "Authorization", shop.admin).expect(200, &list)
	if len(list.Data) != 0 {
		t.Errorf("flagged: %+v", list.Data)
	}
	shop.do("GET", "/api/payments?attention=true", nil, "Authorization", ana).expectProblem(403, errs.Forbidden, "*")
	shop.do("GET", "/api/payments?attention=false", nil, "Authorization", shop.admin).expectProblem(422, errs.Invalid, "attention")
}
