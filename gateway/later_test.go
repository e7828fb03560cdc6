package gateway_test

import (
	"strings"
	"testing"

	"github.com/nats-io/nats.go"

	"lonja/events"
	"lonja/internal/deadletter"
	"lonja/internal/envelope"
	"lonja/internal/refusal"
	"lonja/internal/service"
)

// told is what GET /api/commands/{id} says.
type told struct {
	ID      string
	Status  string
	Result  map[string]any
	Problem map[string]any
}

func TestACommandWhoseServiceIsAwayIsLeftAndItsOutcomeTold(t *testing.T) {
	f := open(t)
	order := `{"items":[{"sku":"a","quantity":1}]}`
	var first, again told
	r := f.do("POST", "/api/orders", order, "Authorization", f.ana(), "Idempotency-Key", "k1").gives(202, &first)
	f.do("POST", "/api/orders", order, "Authorization", f.ana(), "Idempotency-Key", "k1").gives(202, &again)
	at := r.Header.Get("Location")
	if first.Status != service.Pending || first.ID != again.ID || at != "/api/commands/"+first.ID {
		t.Fatalf("first %+v, again %+v, at %q", first, again, at)
	}
	if info, err := f.JS.Stream(t.Context(), "DEFERRED"); err != nil || info.CachedInfo().State.Msgs != 1 {
		t.Errorf("%d commands were left, want 1 (%v)", info.CachedInfo().State.Msgs, err)
	}
	f.do("GET", at, nil, "Authorization", f.ana()).gives(200, &first)
	f.do("GET", at, nil, "Authorization", f.staff()).gives(200, nil)
	f.do("GET", at, nil, "Authorization", f.as("usr_ben", events.Customer)).gives(404, nil)
	f.do("GET", at, nil).gives(401, nil)

	tell(f, first.ID, service.Outcome{ID: first.ID, Status: service.Refused, Problem: refusal.Of("items[0].sku", "is unknown")})
	f.do("GET", at, nil, "Authorization", f.ana()).gives(200, &first)
	if first.Status != service.Refused || first.Problem["status"] != 422.0 || first.Problem["field"] != "items[0].sku" {
		t.Errorf("told %+v", first)
	}
}

func TestWhatIdentityIsToDoIsNeverLeft(t *testing.T) {
	f := open(t)
	f.do("POST", "/api/auth/register", map[string]string{"name": "Ana", "email": "ana@example.com", "password": "password of ana"}).gives(503, nil)
	f.do("POST", "/api/auth/login", map[string]string{"email": "ana@example.com", "password": "password of ana"}).gives(503, nil)
	if info, err := f.JS.Stream(t.Context(), "DEFERRED"); err != nil || info.CachedInfo().State.Msgs != 0 {
		t.Errorf("a password was left lying about (%v)", err)
	}
}

func TestWhatAServiceRefusesIsNotLeft(t *testing.T) {
	f := open(t)
	f.plays("commands.orders.place", func(*nats.Msg) any { return refusal.New(refusal.Unavailable, "the log is full") })
	f.do("POST", "/api/orders", `{"items":[{"sku":"a","quantity":1}]}`, "Authorization", f.ana()).gives(503, nil)
}

func tell(f *front, id string, o service.Outcome) {
	f.t.Helper()
	data := `{"id":"` + id + `","status":"` + o.Status + `","problem":{"code":"` + string(o.Problem.Code) + `","detail":"` + o.Problem.Detail + `","field":"` + o.Problem.Field + `"}}`
	_, err := f.JS.PublishMsg(f.t.Context(), &nats.Msg{Subject: service.OutcomeSubject(id), Data: []byte(data),
		Header: nats.Header{envelope.HeaderActor: {"usr_ana"}}})
	if err != nil {
		f.t.Fatal(err)
	}
}

func TestStaffLookAfterDeadLetters(t *testing.T) {
	f := open(t)
	box := deadletter.New(f.JS)
	for seq := range uint64(3) {
		if _, err := box.Keep(t.Context(), deadletter.Letter{Consumer: "orders-on-stock", Stream: "INVENTORY", Sequence: seq + 1,
			Subject: "events.stock.main.reserved", Reason: "a bug", Data: "{}"}); err != nil {
			t.Fatal(err)
		}
	}
	f.do("GET", "/api/deadletters", nil, "Authorization", f.ana()).gives(403, nil)
	var list struct {
		Data []deadletter.Letter
		Meta struct{ Total, Page, LastPage int }
	}
	f.do("GET", "/api/deadletters?limit=2&page=2", nil, "Authorization", f.staff()).gives(200, &list)
	if list.Meta.Total != 3 || len(list.Data) != 1 || list.Data[0].Sequence != 3 || list.Data[0].Reason != "a bug" {
		t.Errorf("listed %+v", list)
	}
	r := f.do("POST", "/api/deadletters/1/retry", nil, "Authorization", f.staff()).gives(200, nil)
	if !strings.Contains(string(r.body), "orders-on-stock") {
		t.Errorf("retried %s", r.body)
	}
	f.do("GET", "/api/deadletters/1", nil, "Authorization", f.staff()).gives(404, nil)
	f.do("DELETE", "/api/deadletters/2", nil, "Authorization", f.staff()).gives(204, nil)
	f.do("DELETE", "/api/deadletters/2", nil, "Authorization", f.staff()).gives(404, nil)
	f.do("GET", "/api/deadletters/3", nil, "Authorization", f.staff()).gives(200, nil)
	if retries, err := f.JS.Stream(t.Context(), "RETRIES"); err != nil || retries.CachedInfo().State.Msgs != 1 {
		t.Errorf("nothing goes back: %v", err)
	}
}
