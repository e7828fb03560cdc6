package httpapi_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/nats-io/nats.go"

	"lonja/kit/errs"
	"lonja/kit/httpapi"
	"lonja/kit/httpapi/apitest"
)

const additions = "/api/counters/a/additions"

// One table maps the codes of services' errors to HTTP statuses.
func TestProblem_StatusByCode(t *testing.T) {
	f := open(t)
	for code, status := range map[errs.Code]int{errs.Invalid: 422, errs.NotFound: 404, errs.Conflict: 409,
		errs.Unauthenticated: 401, errs.Forbidden: 403, errs.Unavailable: 503, errs.Internal: 500} {
		f.Fake("commands.counters.add", func(*nats.Msg) any { return &errs.Error{Code: code, Detail: "no", Field: "a[1].b"} })
		p := f.Do("POST", additions, `{"by":1}`, "Authorization", f.ana()).ExpectProblem(status, code, "a[1].b")
		if p.Detail != "no" || (p.Instance != "") != (status >= 500) {
			t.Errorf("%+v", p)
		}
		f.StopFake("commands.counters.add")
	}
	f.Fake("commands.counters.add", func(*nats.Msg) any { return &errs.Error{Code: "odd", Detail: "no"} })
	f.Do("POST", additions, `{"by":1}`, "Authorization", f.ana()).ExpectProblem(500, errs.Internal, "")
}

// Errors of huma, of the mux and of this package have the same form.
func TestProblem_HasTheNameOfTheAPI(t *testing.T) {
	f := open(t)
	f.Do("GET", "/api/nothing", "").ExpectProblem(404, errs.NotFound, "")
	f.Do("PUT", additions, "").ExpectProblem(405, errs.Invalid, "")
	f.Do("POST", additions, `{"by":0}`, "Authorization", f.ana()).ExpectProblem(422, errs.Invalid, "by")
	f.Do("GET", "/api/counters/a?x=1", "").ExpectProblem(422, errs.Invalid, "x")
	r := f.Do("POST", additions, `{"by":1}`)
	r.ExpectProblem(401, errs.Unauthenticated, "")
	if got := r.Header.Get("WWW-Authenticate"); got != `Bearer realm="counters"` {
		t.Errorf("WWW-Authenticate %q", got)
	}
	spec := f.Do("GET", "/openapi.json", "").Text
	if !strings.Contains(spec, `"urn:counters:problem:conflict"`) || strings.Contains(spec, "lonja") {
		t.Error("the description has no name, or another one")
	}
	metrics := f.Do("GET", "/metrics", "").Text
	if !strings.Contains(metrics, `counters_http_requests_total{method="GET",route="/api/counters/{counter}",status="422"} 1`) {
		t.Errorf("not counted: %s", metrics)
	}
}

// Handler returns an error if a setting that a route needs is missing.
func TestHandler_NamesMissingSetting(t *testing.T) {
	f := apitest.Open(t)
	nothing := func(*httpapi.Call, *struct{}) (*httpapi.Response, error) { return httpapi.NewResponse(nil), nil }
	for needs, option := range map[string]httpapi.Option{"Tokens": httpapi.SignedIn, "Outcomes": httpapi.Deferrable} {
		c := f.Config()
		c.Tokens = nil
		api, err := httpapi.New(c)
		if err != nil {
			t.Fatal(err)
		}
		api.Add("x", httpapi.JSON("POST /x", "X", nothing, option))
		if _, err := api.Handler(); err == nil || !strings.Contains(err.Error(), needs+" ") && !strings.Contains(err.Error(), needs+" is") {
			t.Errorf("without %s: %v", needs, err)
		}
	}
	for _, bad := range []func(*httpapi.Config){
		func(c *httpapi.Config) { c.Client = nil }, func(c *httpapi.Config) { c.Name = "" }, func(c *httpapi.Config) { c.PublicURL = "" },
		func(c *httpapi.Config) { c.PublicURL = "counters.example" }, func(c *httpapi.Config) { c.CORSOrigins = []string{"counters.example"} },
	} {
		c := f.Config()
		if bad(&c); c.Logger != nil {
			t.Fatal("the configuration has a Logger")
		}
		if _, err := httpapi.New(c); err == nil {
			t.Errorf("accepted: %+v", c)
		}
	}
}

// A mounted handler is served, but not described.
func TestMount_ServesWithoutDescription(t *testing.T) {
	f := apitest.Open(t)
	api, err := httpapi.New(f.Config())
	if err != nil {
		t.Fatal(err)
	}
	api.Mount("GET /other.json", http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "{}") }))
	handler, err := api.Handler()
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(handler)
	defer server.Close()
	f.URL = server.URL
	f.Do("GET", "/other.json", "").Expect(200, "{}")
	f.Do("POST", "/other.json", "").ExpectProblem(405, errs.Invalid, "")
	if spec := f.Do("GET", "/openapi.json", "").Text; strings.Contains(spec, "other.json") {
		t.Error("it is described")
	}
}
