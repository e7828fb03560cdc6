package httpapi_test

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"github.com/nats-io/nats.go"

	"lonja/kit/bus"
	"lonja/kit/errs"
	"lonja/kit/eventlog"
	"lonja/kit/httpapi/apitest"
)

func TestIdempotent_KeysMustBePrintable(t *testing.T) {
	f := open(t)
	for _, keys := range [][]string{{""}, {strings.Repeat("k", 256)}, {"kä"}, {"a\tb"}, {"a", "b"}, {"a", "a"}} {
		req, err := http.NewRequestWithContext(t.Context(), "POST", f.URL+additions, strings.NewReader(`{"by":1}`))
		if err != nil {
			t.Fatal(err)
		}
		req.Header["Authorization"], req.Header["Idempotency-Key"] = []string{f.ana()}, keys
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		var p apitest.Problem
		err = json.NewDecoder(resp.Body).Decode(&p)
		resp.Body.Close()
		if err != nil || p.Status != 422 || p.Field != "Idempotency-Key" {
			t.Errorf("%q: %+v, %v", keys, p, err)
		}
	}
}

// The same caller, route and key are the same command; everything else is another.
func TestIdempotent_KeysAndCallersMakeCommandIDs(t *testing.T) {
	f := open(t)
	id := make(chan string, 1)
	f.Play("commands.counters.add", func(m *nats.Msg) any {
		id <- apitest.Envelope(m).ID
		return apitest.Receipt{Entity: "a", Position: "COUNTERS:3", Body: 1}
	})
	add := func(authorization, key string) string {
		f.Do("POST", additions, `{"by":1}`, "Authorization", authorization, "Idempotency-Key", key).Gives(200, "1")
		return <-id
	}
	ana, bob := f.ana(), f.As("bob")
	first := add(ana, "k")
	for name, other := range map[string]string{"another key": add(ana, "j"), "another caller": add(bob, "k"), "no key": add(ana, "")} {
		if other == first {
			t.Errorf("%s makes the same id", name)
		}
	}
	if again := add(ana, "k"); again != first {
		t.Errorf("the same key made %s and %s", first, again)
	}
	f.Do("POST", "/api/login", `{"email":"a","password":"b"}`, "Idempotency-Key", "k").Fails(422, errs.Invalid, "Idempotency-Key")
}

// Nothing of a request's headers goes on but what was checked.
func TestCall_PassesOnWhatWasChecked(t *testing.T) {
	f := open(t)
	var got eventlog.Envelope
	var all nats.Header
	f.Play("queries.counters.total", func(m *nats.Msg) any { got, all = apitest.Envelope(m), m.Header; return 0 })
	const trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
	f.Do("GET", "/api/secrets/a", "", "Authorization", f.ana(), "traceparent", trace,
		"Consistency-Token", "COUNTERS:7.bad stream:3.OTHER:2.X", "Consistency-Token", "COUNTERS:9.ODD:-1",
		"Nats-Rollup", "all", "ce-actor", "eve", "ce-actorroles", "admin", "ce-id", "mine", "lonja-after", "COUNTERS:99").Gives(200, "0")
	if got.Trace != trace || got.Correlation != "4bf92f3577b34da6a3ce929d0e0e4736" || got.After != "COUNTERS:9.OTHER:2" {
		t.Errorf("%+v", got)
	}
	if got.Actor.ID != "ana" || got.Actor.HasRole("admin") || got.ID != "" || all.Get("Nats-Rollup") != "" {
		t.Errorf("a client's header went on: %v", all)
	}
}

// What a client has written it can read, whatever replica it asks.
func TestConsistency_ReadYourWrites(t *testing.T) {
	f := open(t)
	f.runsCounters()
	for total := 1; total <= 20; total++ {
		token := f.Do("POST", additions, `{"by":1}`, "Authorization", f.ana()).Header.Get("Consistency-Token")
		r := f.Do("GET", "/api/counters/a", "", "Consistency-Token", token)
		var n int
		if err := json.Unmarshal([]byte(r.Text), &n); err != nil || n != total {
			t.Fatalf("after %s the total is %s, want %d", token, r.Text, total)
		}
	}
	f.Do("GET", "/api/counters/a", "", "Consistency-Token", "COUNTERS:999").Fails(400, errs.Invalid, "Consistency-Token")
}

func (f *front) runsCounters() (stop func() error) {
	f.T.Helper()
	stop, err := f.RunCounters()
	if err != nil {
		f.T.Fatal(err)
	}
	return stop
}

// A command whose service is away takes effect once, when it is back.
func TestDeferrable_TheOutcomeIsToldWhenTheServiceIsBack(t *testing.T) {
	f := open(t)
	var left, again struct{ ID, Status string }
	for _, into := range []any{&left, &again} {
		r := f.Do("POST", additions, `{"by":3}`, "Authorization", f.ana(), "Idempotency-Key", "k")
		if err := json.Unmarshal([]byte(r.Text), into); err != nil || r.StatusCode != 202 || !strings.HasPrefix(r.Header.Get("Location"), "/api/commands/") {
			t.Fatalf("%d %s %v", r.StatusCode, r.Text, r.Header)
		}
	}
	if left != again || left.Status != bus.Pending {
		t.Errorf("left %+v, again %+v", left, again)
	}
	at := "/api/commands/" + left.ID
	f.Do("GET", at, "", "Authorization", f.As("bob")).Fails(404, errs.NotFound, "")
	f.Do("GET", at, "").Fails(401, errs.Unauthenticated, "")

	f.runsCounters()
	r := f.eventually(200, func() *apitest.Response {
		r := f.Do("GET", at, "", "Authorization", f.As("boss", "staff"))
		if r.StatusCode == 200 && strings.Contains(r.Text, `"pending"`) {
			r.StatusCode = 0
		}
		return r
	})
	if want := `{"id":"` + left.ID + `","status":"done","result":3}`; r.Text != want {
		t.Errorf("told %s, want %s", r.Text, want)
	}
	f.Do("GET", "/api/counters/a", "", "Consistency-Token", r.Header.Get("Consistency-Token")).Gives(200, "3")
	done := f.Do("POST", additions, `{"by":3}`, "Authorization", f.ana(), "Idempotency-Key", "k").Gives(200, "3")
	if done.Header.Get("Idempotent-Replayed") != "true" {
		t.Errorf("not told that it was answered before: %v", done.Header)
	}
}

// What takes room on the disk is taken only from those who say who they are.
func TestDeferrable_NotOnOtherRoutes(t *testing.T) {
	f := open(t)
	f.Do("POST", "/api/login", `{"email":"a","password":"b"}`).Fails(503, errs.Unavailable, "")
	stream, err := f.JS.Stream(t.Context(), bus.DeferredStream)
	if err != nil || stream.CachedInfo().State.Msgs != 0 {
		t.Errorf("something was left (%v)", err)
	}
}

func TestProbes(t *testing.T) {
	f := open(t)
	f.Do("GET", "/healthz?whatever=1", "").Gives(200, `{"status":"ok"}`)
	f.Do("GET", "/readyz/gateway", "").Gives(200, `{"status":"ok"}`)
	f.Do("GET", "/readyz", "").Gives(503, `{"ready":false,"services":{"counters":{"status":"missing"}}}`)
	f.runsCounters()
	f.Do("GET", "/readyz", "").Gives(200, `{"ready":true,"services":{"counters":{"status":"ready"}}}`)
}
