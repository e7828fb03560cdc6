package gateway_test

import (
	"context"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/prometheus/client_golang/prometheus"

	"lonja/events"
	"lonja/gateway"
	"lonja/kit/bus"
	"lonja/kit/errs"
	"lonja/kit/eventlog"
)

// told is what GET /api/commands/{id} says.
type told struct {
	ID      string
	Status  string
	Result  map[string]any
	Problem map[string]any
}

func TestDeferred_CommandHasAnOutcomeOnceTheServiceIsBack(t *testing.T) {
	f := open(t)
	order := `{"items":[{"sku":"a","quantity":1}]}`
	var first, again told
	r := f.do("POST", "/api/orders", order, "Authorization", f.ana(), "Idempotency-Key", "k1").expect(202, &first)
	f.do("POST", "/api/orders", order, "Authorization", f.ana(), "Idempotency-Key", "k1").expect(202, &again)
	at := r.Header.Get("Location")
	if first.Status != bus.OutcomePending || first.ID != again.ID || at != "/api/commands/"+first.ID {
		t.Fatalf("first %+v, again %+v, at %q", first, again, at)
	}
	if info, err := f.JS.Stream(t.Context(), "DEFERRED"); err != nil || info.CachedInfo().State.Msgs != 1 {
		t.Errorf("%d commands were left, want 1 (%v)", info.CachedInfo().State.Msgs, err)
	}
	// Any server may answer a direct request, also one that has not heard of it yet.
	direct, err := f.Conn.SubscribeSync("$JS.API.DIRECT.GET.DEFERRED.>")
	if err != nil {
		t.Fatal(err)
	}
	f.do("GET", at, nil, "Authorization", f.ana()).expect(200, &first)
	f.flush()
	if n, _, err := direct.Pending(); n > 0 || err != nil {
		t.Errorf("not only the leader was asked: %d requests, %v", n, err)
	}
	f.do("GET", at, nil, "Authorization", f.staff()).expect(200, nil)
	f.do("GET", at, nil, "Authorization", f.as("usr_ben", events.Customer)).expect(404, nil)
	f.do("GET", at, nil).expect(401, nil)

	tell(f, first.ID, bus.Outcome{ID: first.ID, Status: bus.OutcomeRejected, Problem: errs.InvalidField("items[0].sku", "is unknown")})
	f.do("GET", at, nil, "Authorization", f.ana()).expect(200, &first)
	if first.Status != bus.OutcomeRejected || first.Problem["status"] != 422.0 || first.Problem["field"] != "items[0].sku" {
		t.Errorf("told %+v", first)
	}
}

func TestDeferred_NeverForIdentity(t *testing.T) {
	f := open(t)
	f.do("POST", "/api/auth/register", map[string]string{"name": "Ana", "email": "ana@example.com", "password": "password of ana"}).expect(503, nil)
	f.do("POST", "/api/auth/login", map[string]string{"email": "ana@example.com", "password": "password of ana"}).expect(503, nil)
	if info, err := f.JS.Stream(t.Context(), "DEFERRED"); err != nil || info.CachedInfo().State.Msgs != 0 {
		t.Errorf("a password was left lying about (%v)", err)
	}
}

func TestDeferred_NotIfTheServiceRejects(t *testing.T) {
	f := open(t)
	f.fake("commands.orders.place", func(*nats.Msg) any { return errs.New(errs.Unavailable, "the log is full") })
	f.do("POST", "/api/orders", `{"items":[{"sku":"a","quantity":1}]}`, "Authorization", f.ana()).expect(503, nil)
}

// left is how many commands and outcomes there are.
func (f *testShop) left() uint64 {
	f.t.Helper()
	stream, err := f.JS.Stream(f.t.Context(), bus.DeferredStream)
	if err != nil {
		f.t.Fatal(err)
	}
	return stream.CachedInfo().State.Msgs
}

// TestDeferred_NotForAnonymousOrForbidden asks for what the one who asks may not have done,
// or does not say who they are for, while every service is away.
func TestDeferred_NotForAnonymousOrForbidden(t *testing.T) {
	f := open(t)
	const product = `{"sku":"A","name":"a","price":{"amount":1,"currency":"GBP"}}`
	for range 3 {
		f.do("POST", "/sandbox/payments/pay_unknown", `{"outcome":"pay"}`).expectProblem(503, errs.Unavailable, "")
	}
	f.do("POST", "/sandbox/payments/pay_unknown", "outcome=pay", "Content-Type", "application/x-www-form-urlencoded").expectProblem(503, errs.Unavailable, "")
	f.do("POST", "/api/products", product, "Authorization", f.ana()).expectProblem(503, errs.Unavailable, "")
	f.do("PUT", "/api/products/A/stock", `{"on_hand":1}`, "Authorization", f.ana()).expectProblem(503, errs.Unavailable, "")
	f.do("POST", "/api/orders", `{"items":[]}`, "Authorization", f.ana()).expectProblem(422, errs.Invalid, "*")
	f.do("PUT", "/api/users/usr_1/roles", `{"roles":["admin"]}`, "Authorization", f.as("usr_boss", events.Admin)).expectProblem(503, errs.Unavailable, "")
	if n := f.left(); n != 0 {
		t.Errorf("%d commands were left", n)
	}
	f.do("POST", "/api/products", product, "Authorization", f.staff()).expect(202, nil)
	f.do("PUT", "/api/products/A/stock", `{"on_hand":1}`, "Authorization", f.staff()).expect(202, nil)
	if n := f.left(); n != 2 {
		t.Errorf("%d commands of staff were left, want 2", n)
	}
}

// TestDeferred_NotIfTheClientDisconnects gives requests up while their service works on them.
func TestDeferred_NotIfTheClientDisconnects(t *testing.T) {
	registry := prometheus.NewRegistry()
	f := openWith(t, gateway.Config{Registry: registry})
	asked := make(chan struct{}, 10)
	if _, err := f.Conn.Subscribe("commands.orders.place", func(*nats.Msg) { asked <- struct{}{} }); err != nil {
		t.Fatal(err)
	}
	f.flush()
	const times = 5
	for range times {
		ctx, goAway := context.WithCancel(t.Context())
		req, err := http.NewRequestWithContext(ctx, "POST", f.server.URL+"/api/orders", strings.NewReader(`{"items":[{"sku":"a","quantity":1}]}`))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Authorization", f.ana())
		gone := make(chan struct{})
		go func() {
			defer close(gone)
			if resp, err := http.DefaultClient.Do(req); err == nil {
				resp.Body.Close()
				t.Error("there was an answer")
			}
		}()
		<-asked
		goAway()
		<-gone
	}
	deadline, tick := time.After(time.Minute), time.NewTicker(5*time.Millisecond)
	defer tick.Stop()
	for ended(t, registry) < times {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatal("the requests do not end")
		}
	}
	if n := f.left(); n != 0 {
		t.Errorf("%d commands were left", n)
	}
}

// ended is how many requests a gateway has done with.
func ended(t *testing.T, registry *prometheus.Registry) (n float64) {
	t.Helper()
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, family := range families {
		for _, m := range family.GetMetric() {
			if family.GetName() == "lonja_http_requests_total" {
				n += m.GetCounter().GetValue()
			}
		}
	}
	return n
}

// TestDeferred_BeyondTheBoundIsRejected bounds what may be left.
func TestDeferred_BeyondTheBoundIsRejected(t *testing.T) {
	f := open(t)
	stream, err := f.JS.Stream(t.Context(), bus.DeferredStream)
	if err != nil {
		t.Fatal(err)
	}
	config := stream.CachedInfo().Config
	config.MaxMsgs = 4
	if _, err := f.JS.UpdateStream(t.Context(), config); err != nil {
		t.Fatal(err)
	}
	const order = `{"items":[{"sku":"a","quantity":1}]}`
	for range 2 {
		f.do("POST", "/api/orders", order, "Authorization", f.ana(), "Idempotency-Key", "first").expect(202, nil)
	}
	f.do("POST", "/api/orders", order, "Authorization", f.ana()).expect(202, nil)
	f.do("POST", "/api/orders", order, "Authorization", f.ana(), "Idempotency-Key", "first").expect(202, nil) // it is left already
	r := f.do("POST", "/api/orders", order, "Authorization", f.ana())
	if r.expectProblem(503, errs.Unavailable, ""); r.Header.Get("Retry-After") == "" {
		t.Error("it is not said when to come again")
	}
	metrics := string(f.do("GET", "/metrics", nil).expect(200, nil).body)
	for _, want := range []string{`lonja_commands_deferred_total{outcome="ok"} 4`, `lonja_commands_deferred_total{outcome="refused"} 1`} {
		if !strings.Contains(metrics, want) {
			t.Errorf("not counted: %s", want)
		}
	}
	f.fake("commands.orders.place", func(*nats.Msg) any {
		return receipt{entity: "ord_1", position: "ORDERS:1", body: map[string]string{"id": "ord_1"}}
	})
	f.do("POST", "/api/orders", order, "Authorization", f.ana()).expect(201, nil)
}

func tell(f *testShop, id string, o bus.Outcome) {
	f.t.Helper()
	data := `{"id":"` + id + `","status":"` + o.Status + `","problem":{"code":"` + string(o.Problem.Code) + `","detail":"` + o.Problem.Detail + `","field":"` + o.Problem.Field + `"}}`
	_, err := f.JS.PublishMsg(f.t.Context(), &nats.Msg{Subject: bus.OutcomeSubject(id), Data: []byte(data),
		Header: nats.Header{eventlog.HeaderActor: {"usr_ana"}}})
	if err != nil {
		f.t.Fatal(err)
	}
}

func TestDeadLetters_ListRetryAndDrop(t *testing.T) {
	f := open(t)
	box := bus.NewDeadLetterQueue(f.JS)
	for seq := range uint64(3) {
		if _, err := box.Add(t.Context(), bus.DeadLetter{Consumer: "orders-on-stock", Stream: "INVENTORY", Sequence: seq + 1,
			Subject: "events.stock.main.reserved", Reason: "a bug", Data: "{}"}); err != nil {
			t.Fatal(err)
		}
	}
	f.do("GET", "/api/deadletters", nil, "Authorization", f.ana()).expect(403, nil)
	var list struct {
		Data []bus.DeadLetter
		Meta struct{ Total, Page, LastPage int }
	}
	f.do("GET", "/api/deadletters?limit=2&page=2", nil, "Authorization", f.staff()).expect(200, &list)
	if list.Meta.Total != 3 || len(list.Data) != 1 || list.Data[0].Sequence != 3 || list.Data[0].Reason != "a bug" {
		t.Errorf("listed %+v", list)
	}
	r := f.do("POST", "/api/deadletters/1/retry", nil, "Authorization", f.staff()).expect(200, nil)
	if !strings.Contains(string(r.body), "orders-on-stock") {
		t.Errorf("retried %s", r.body)
	}
	f.do("GET", "/api/deadletters/1", nil, "Authorization", f.staff()).expect(404, nil)
	f.do("DELETE", "/api/deadletters/2", nil, "Authorization", f.staff()).expect(204, nil)
	f.do("DELETE", "/api/deadletters/2", nil, "Authorization", f.staff()).expect(404, nil)
	f.do("GET", "/api/deadletters/3", nil, "Authorization", f.staff()).expect(200, nil)
	if retries, err := f.JS.Stream(t.Context(), "RETRIES"); err != nil || retries.CachedInfo().State.Msgs != 1 {
		t.Errorf("nothing goes back: %v", err)
	}
}
