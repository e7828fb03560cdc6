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

// The same caller, route and key make the same command ID, anything else another.
func TestIdempotent_CommandIDDependsOnCallerAndKey(t *testing.T) {
	f := open(t)
	id := make(chan string, 1)
	f.Fake("commands.counters.add", func(m *nats.Msg) any {
		id <- apitest.Envelope(m).ID
		return apitest.Reply{Entity: "a", Position: "COUNTERS:3", Body: 1}
	})
	add := func(authorization, key string) string {
		f.Do("POST", additions, `{"by":1}`, "Authorization", authorization, "Idempotency-Key", key).Expect(200, "1")
		return <-id
	}
	ana, bob := f.ana(), f.Authorization("bob")
	first := add(ana, "k")
	for name, other := range map[string]string{"another key": add(ana, "j"), "another caller": add(bob, "k"), "no key": add(ana, "")} {
		if other == first {
			t.Errorf("%s makes the same id", name)
		}
	}
	if again := add(ana, "k"); again != first {
		t.Errorf("the same key made %s and %s", first, again)
	}
	f.Do("POST", "/api/login", `{"email":"a","password":"b"}`, "Idempotency-Key", "k").ExpectProblem(422, errs.Invalid, "Idempotency-Key")
}

// A service receives only values that were parsed and checked, not a client's headers.
func TestCall_PassesOnCheckedValuesOnly(t *testing.T) {
	f := open(t)
	var got eventlog.Envelope
	var all nats.Header
	f.Fake("queries.counters.total", func(m *nats.Msg) any { got, all = apitest.Envelope(m), m.Header; return 0 })
	const trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
	f.Do("GET", "/api/secrets/a", "", "Authorization", f.ana(), "traceparent", trace,
		"Consistency-Token", "COUNTERS:7.bad stream:3.OTHER:2.X", "Consistency-Token", "COUNTERS:9.ODD:-1",
		"Nats-Rollup", "all", "ce-actor", "eve", "ce-actorroles", "admin", "ce-id", "mine", "lonja-after", "COUNTERS:99").Expect(200, "0")
	if got.Trace != trace || got.Correlation != "4bf92f3577b34da6a3ce929d0e0e4736" || got.After != "COUNTERS:9.OTHER:2" {
		t.Errorf("%+v", got)
	}
	if got.Actor.ID != "ana" || got.Actor.HasRole("admin") || got.ID != "" || all.Get("Nats-Rollup") != "" {
		t.Errorf("a client's header was passed on: %v", all)
	}
}

// What follows from a command is found by its id, and stored events need not repeat it.
func TestCall_TracesACommandByItsID(t *testing.T) {
	f := open(t)
	var got eventlog.Envelope
	f.Fake("commands.counters.add", func(m *nats.Msg) any {
		got = apitest.Envelope(m)
		return apitest.Reply{Entity: "a", Position: "COUNTERS:3", Body: 1}
	})
	send := func(headers ...string) {
		t.Helper()
		f.Do("POST", additions, `{"by":1}`, append(headers, "Authorization", f.ana(), "Idempotency-Key", "k")...).Expect(200, "1")
	}
	send()
	if got.ID == "" || got.Correlation != got.ID || got.Trace != eventlog.TraceOf(got.ID) {
		t.Errorf("%+v", got)
	}
	const sent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
	send("traceparent", sent)
	if got.Trace != sent || got.Correlation != "4bf92f3577b34da6a3ce929d0e0e4736" {
		t.Errorf("with a trace of the client: %+v", got)
	}
}

// With the Consistency-Token of its write, a client reads the write.
func TestConsistency_ReadYourWrites(t *testing.T) {
	f := open(t)
	f.runCounters()
	for total := 1; total <= 20; total++ {
		token := f.Do("POST", additions, `{"by":1}`, "Authorization", f.ana()).Header.Get("Consistency-Token")
		r := f.Do("GET", "/api/counters/a", "", "Consistency-Token", token)
		var n int
		if err := json.Unmarshal([]byte(r.Text), &n); err != nil || n != total {
			t.Fatalf("after %s the total is %s, want %d", token, r.Text, total)
		}
	}
	f.Do("GET", "/api/counters/a", "", "Consistency-Token", "COUNTERS:999").ExpectProblem(400, errs.Invalid, "Consistency-Token")
}

func (f *testAPI) runCounters() (stop func() error) {
	f.T.Helper()
	stop, err := f.RunCounters()
	if err != nil {
		f.T.Fatal(err)
	}
	return stop
}

// A deferred command takes effect once, when its service is back.
func TestDeferrable_OutcomeIsKnownOnceTheServiceIsBack(t *testing.T) {
	f := open(t)
	var first, again struct{ ID, Status string }
	for _, into := range []any{&first, &again} {
		r := f.Do("POST", additions, `{"by":3}`, "Authorization", f.ana(), "Idempotency-Key", "k")
		if err := json.Unmarshal([]byte(r.Text), into); err != nil || r.StatusCode != 202 || !strings.HasPrefix(r.Header.Get("Location"), "/api/commands/") {
			t.Fatalf("%d %s %v", r.StatusCode, r.Text, r.Header)
		}
	}
	if first != again || first.Status != bus.OutcomePending {
		t.Errorf("first %+v, again %+v", first, again)
	}
	at := "/api/commands/" + first.ID
	f.Do("GET", at, "", "Authorization", f.Authorization("bob")).ExpectProblem(404, errs.NotFound, "")
	f.Do("GET", at, "").ExpectProblem(401, errs.Unauthenticated, "")

	f.runCounters()
	r := f.eventually(200, func() *apitest.Response {
		r := f.Do("GET", at, "", "Authorization", f.Authorization("boss", "staff"))
		if r.StatusCode == 200 && strings.Contains(r.Text, `"pending"`) {
			r.StatusCode = 0
		}
		return r
	})
	if want := `{"id":"` + first.ID + `","status":"done","result":3}`; r.Text != want {
		t.Errorf("got %s, want %s", r.Text, want)
	}
	f.Do("GET", "/api/counters/a", "", "Consistency-Token", r.Header.Get("Consistency-Token")).Expect(200, "3")
	done := f.Do("POST", additions, `{"by":3}`, "Authorization", f.ana(), "Idempotency-Key", "k").Expect(200, "3")
	if done.Header.Get("Idempotent-Replayed") != "true" {
		t.Errorf("not marked as replayed: %v", done.Header)
	}
}

// Commands of anonymous callers are not stored, since they take up space on the disk.
func TestDeferrable_NotOnOtherRoutes(t *testing.T) {
	f := open(t)
	f.Do("POST", "/api/login", `{"email":"a","password":"b"}`).ExpectProblem(503, errs.Unavailable, "")
	stream, err := f.JS.Stream(t.Context(), bus.DeferredStream)
	if err != nil || stream.CachedInfo().State.Msgs != 0 {
		t.Errorf("a command was deferred (%v)", err)
	}
}

func TestProbes(t *testing.T) {
	f := open(t)
	f.Do("GET", "/healthz?whatever=1", "").Expect(200, `{"status":"ok"}`)
	f.Do("GET", "/readyz/gateway", "").Expect(200, `{"status":"ok"}`)
	f.Do("GET", "/readyz", "").Expect(503, `{"ready":false,"services":{"counters":{"status":"missing"}}}`)
	f.runCounters()
	f.Do("GET", "/readyz", "").Expect(200, `{"ready":true,"services":{"counters":{"status":"ready"}}}`)
}
