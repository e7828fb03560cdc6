package gateway_test

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"lonja/events"
	"lonja/events/query"
	"lonja/gateway"
	"lonja/kit/bus"
	"lonja/kit/errs"
)

func TestSandbox_Page(t *testing.T) {
	shop := open(t)
	payment := query.PaymentView{ID: "pay_1", OrderID: `<script>"`, Provider: "sandbox", Status: query.PaymentPending, Amount: events.Money{Amount: 1995, Currency: "JPY"}}
	after := make(chan string, 10)
	shop.fake("queries.payments.payment", func(m *nats.Msg) any { after <- header(m).After; return payment })
	shop.fake("commands.payments.settle", func(m *nats.Msg) any {
		if strings.Contains(string(m.Data), "decline") {
			return errs.New(errs.Conflict, "the payment was made <already>")
		}
		paid := payment
		paid.Status = query.PaymentCaptured
		return receipt{entity: "pay_1", position: "PAYMENTS:4", body: paid}
	})
	const form = "application/x-www-form-urlencoded"

	r := shop.do("GET", "/sandbox/payments/pay_1", nil, "Accept", "text/html,application/json").expect(200, nil)
	page, policy := string(r.body), r.Header.Get("Content-Security-Policy")
	for _, want := range []string{"1995 <span>JPY", `value="pay"`, `value="decline"`, "&lt;script&gt;"} {
		if !strings.Contains(page, want) {
			t.Errorf("no %s in %s", want, page)
		}
	}
	style := regexp.MustCompile(`(?s)<style>(.*)</style>`).FindStringSubmatch(page)
	sum := sha256.Sum256([]byte(style[1]))
	if !strings.Contains(policy, "'sha256-"+base64.StdEncoding.EncodeToString(sum[:])+"'") || !strings.Contains(policy, "default-src 'none'") || strings.Contains(policy, "unsafe") {
		t.Errorf("the policy does not fit the page: %s", policy)
	}
	<-after

	r = shop.do("POST", "/sandbox/payments/pay_1", "outcome=pay", "Content-Type", form).expect(303, nil)
	back := r.Header.Get("Location")
	if back != "/sandbox/payments/pay_1?after=PAYMENTS%3A4" {
		t.Errorf("sent to %s", back)
	}
	shop.do("GET", back, nil).expect(200, nil)
	if got := <-after; got != "PAYMENTS:4" {
		t.Errorf("the page waits for %q", got)
	}
	shop.do("GET", "/sandbox/payments/pay_1?after=%0D%0Ax:1.PAYMENTS:5", nil).expect(200, nil)
	if got := <-after; got != "PAYMENTS:5" {
		t.Errorf("the page waits for %q", got)
	}
	refused := string(shop.do("POST", "/sandbox/payments/pay_1", "outcome=decline", "Content-Type", form).expect(409, nil).body)
	if !strings.Contains(refused, "the payment was made &lt;already&gt;") {
		t.Errorf("refused with %s", refused)
	}

	var paid query.PaymentView
	r = shop.do("POST", "/sandbox/payments/pay_1", `{"outcome":"pay"}`).expect(200, &paid)
	if paid.Status != query.PaymentCaptured || r.Header.Get("Consistency-Token") != "PAYMENTS:4" {
		t.Errorf("%s %v", r.body, r.Header)
	}
	shop.do("POST", "/sandbox/payments/pay_1", `{"outcome":"decline"}`).expectProblem(409, errs.Conflict, "")
	shop.do("GET", "/sandbox/payments/pay_1", nil, "Accept", "application/json").expect(200, &paid)
	if paid.ID != "pay_1" {
		t.Errorf("%+v", paid)
	}
	shop.do("POST", "/sandbox/payments/pay_1", "outcome=steal", "Content-Type", form).expectProblem(422, errs.Invalid, "outcome")
	shop.do("POST", "/sandbox/payments/pay_1", "%zz", "Content-Type", form).expectProblem(400, errs.Invalid, "")
	shop.do("POST", "/sandbox/payments/pay_1", "", "Content-Type", form).expectProblem(400, errs.Invalid, "")
	shop.do("POST", "/sandbox/payments/pay_1", strings.Repeat("a", 1<<20+1), "Content-Type", form).expectProblem(413, errs.Invalid, "")
}

func TestReadiness_NamesWhatIsWrong(t *testing.T) {
	shop := openWith(t, gateway.Config{Services: []string{"catalog", "orders", "payments"}})
	shop.fake("health.catalog", func(*nats.Msg) any { return bus.Health{Service: "catalog", Ready: true} })
	shop.fake("health.orders", func(*nats.Msg) any {
		return bus.Health{Service: "orders", Views: []bus.ViewHealth{{Name: "book", Lag: map[string]uint64{"ORDERS": 1e6}}}}
	})
	var got struct {
		Ready    bool
		Services map[string]struct {
			Status, Log      string
			Views, Consumers []string
		}
	}
	began := time.Now()
	shop.do("GET", "/readyz", nil).expect(503, &got)
	if got.Ready || got.Services["catalog"].Status != "ready" || got.Services["orders"].Status != "behind" || got.Services["payments"].Status != "missing" {
		t.Errorf("%+v", got)
	}
	if took := time.Since(began); took > 3*time.Second {
		t.Errorf("it took %v", took)
	}
	shop.stopFake("health.orders")
	shop.fake("health.orders", func(*nats.Msg) any {
		return bus.Health{Service: "orders", Views: []bus.ViewHealth{{Name: "book", Failed: "cannot project: secret"}}}
	})
	r := shop.do("GET", "/readyz", nil).expect(503, &got)
	if got.Services["orders"].Status != "failed" || got.Services["orders"].Views[0] != "book" || strings.Contains(string(r.body), "secret") {
		t.Errorf("%s", r.body)
	}
	shop.stopFake("health.orders")
	shop.fake("health.orders", func(*nats.Msg) any {
		return bus.Health{Service: "orders", Stalled: []string{"orders-on-stock"}, Views: []bus.ViewHealth{{Name: "book"}, {Name: "offers", Stalled: []string{"CATALOG"}}}}
	})
	shop.do("GET", "/readyz", nil).expect(503, &got)
	if o := got.Services["orders"]; o.Status != "behind" || len(o.Consumers) != 1 || len(o.Views) != 1 || o.Views[0] != "offers" {
		t.Errorf("%+v", got)
	}
	shop.stopFake("health.orders")
	shop.fake("health.orders", func(*nats.Msg) any {
		return bus.Health{Service: "orders", Log: "the log ORDERS gives no answer", Views: []bus.ViewHealth{{Name: "book"}}}
	})
	r = shop.do("GET", "/readyz", nil).expect(503, &got)
	if got.Services["orders"].Status != "failed" || got.Services["orders"].Log != "the log ORDERS gives no answer" || len(got.Services["orders"].Views) > 0 {
		t.Errorf("%s", r.body)
	}
	shop.stopFake("health.orders")
	shop.fake("health.orders", func(*nats.Msg) any { return bus.Health{Service: "orders", Ready: true} })
	shop.fake("health.payments", func(*nats.Msg) any { return bus.Health{Service: "payments", Ready: true} })
	shop.do("GET", "/readyz", nil).expect(200, &got)
	if !got.Ready {
		t.Errorf("%+v", got)
	}
	shop.do("GET", "/healthz", nil).expect(200, nil)
}

func TestReadiness_NamesTheStoresFailure(t *testing.T) {
	store, stop := context.WithCancelCause(t.Context())
	shop := openWith(t, gateway.Config{Store: func() context.Context { return store }})
	shop.do("GET", "/readyz", nil).expect(200, nil)
	stop(errors.New("the disk is full"))
	var got struct {
		Ready bool
		Store string
	}
	shop.do("GET", "/readyz", nil).expect(503, &got)
	if got.Ready || got.Store != "the disk is full" {
		t.Errorf("%+v", got)
	}
}

func TestMetrics_CountByRoute(t *testing.T) {
	shop := open(t)
	shop.do("GET", "/api/products/a.b", nil)
	shop.do("GET", "/api/products/c.d", nil)
	shop.do("GET", "/api/nothing/here", nil)
	metrics := string(shop.do("GET", "/metrics", nil).expect(200, nil).body)
	for _, want := range []string{
		`lonja_http_requests_total{method="GET",route="/api/products/{sku}",status="404"} 2`,
		`lonja_http_requests_total{method="other",route="other",status="404"} 1`,
		`lonja_http_request_duration_seconds_count{method="GET",route="/api/products/{sku}"} 2`,
		"go_goroutines",
	} {
		if !strings.Contains(metrics, want) {
			t.Errorf("no %s", want)
		}
	}
}

func TestDocs_NeedNoInternet(t *testing.T) {
	shop := open(t)
	r := shop.do("GET", "/docs", nil).expect(200, nil)
	page := string(r.body)
	if strings.Contains(page, `src="http`) || strings.Contains(page, `href="http`) || !strings.Contains(r.Header.Get("Content-Security-Policy"), "default-src 'self'") {
		t.Errorf("the page takes something from elsewhere: %s", page)
	}
	assets := regexp.MustCompile(`(?:src|href)="(/docs/[^"]+)"`).FindAllStringSubmatch(page, -1)
	if len(assets) < 3 {
		t.Fatalf("assets %v in %s", assets, page)
	}
	for _, asset := range assets {
		if r := shop.do("GET", asset[1], nil).expect(200, nil); len(r.body) == 0 {
			t.Errorf("%s is empty", asset[1])
		}
	}
}

// Where nobody asked for the sandbox there is no page of it, nor a word.
func TestSandbox_OffMeansNoRoutes(t *testing.T) {
	shop := openWith(t, gateway.Config{PublicURL: "https://shop.example"})
	heard := false
	shop.fake("commands.payments.settle", func(*nats.Msg) any { heard = true; return query.PaymentView{} })
	shop.do("GET", "/sandbox/payments/pay_1", nil).expectProblem(404, errs.NotFound, "")
	shop.do("POST", "/sandbox/payments/pay_1", `{"outcome":"pay"}`).expectProblem(404, errs.NotFound, "")
	shop.do("POST", "/sandbox/payments/pay_1", "outcome=pay", "Content-Type", "application/x-www-form-urlencoded").expectProblem(404, errs.NotFound, "")
	if spec := string(shop.do("GET", "/openapi.json", nil).expect(200, nil).body); strings.Contains(spec, "sandbox") {
		t.Error("the description tells of the sandbox")
	}
	shop.stopFake("commands.payments.settle")
	if heard {
		t.Error("the command was sent all the same")
	}
}

// Every route is described, and the description holds together.
func TestDescription_IsComplete(t *testing.T) {
	shop := openWith(t, gateway.Config{PublicURL: "https://shop.example", Sandbox: true})
	var spec struct {
		OpenAPI    string
		Servers    []struct{ URL string }
		Paths      map[string]map[string]operation
		Components struct {
			Schemas         map[string]any
			SecuritySchemes map[string]any
		}
	}
	r := shop.do("GET", "/openapi.json", nil).expect(200, &spec)
	if spec.OpenAPI != "3.1.0" || spec.Servers[0].URL != "https://shop.example" || spec.Components.SecuritySchemes["bearer"] == nil {
		t.Errorf("%s %v", spec.OpenAPI, spec.Servers)
	}
	ids, count := map[string]bool{}, 0
	for path, operations := range spec.Paths {
		for method, op := range operations {
			count++
			op.check(t, strings.ToUpper(method)+" "+path, path)
			if ids[op.OperationID] {
				t.Errorf("two operations are called %s", op.OperationID)
			}
			ids[op.OperationID] = true
		}
	}
	// What one option says does not take the place of what another one says.
	for route, says := range map[string][]string{
		"delete /api/products/{sku}":    {"Staff only.", "restores it"},
		"put /api/products/{sku}/stock": {"Staff only.", "may be archived"},
		"get /api/users":                {"Administrators only."},
	} {
		method, path, _ := strings.Cut(route, " ")
		for _, text := range says {
			if d := spec.Paths[path][method].Description; !strings.Contains(d, text) {
				t.Errorf("%s does not say %q: %q", route, text, d)
			}
		}
	}
	if count != 45 {
		t.Errorf("%d operations are described", count)
	}
	for _, ref := range regexp.MustCompile(`"\$ref":"([^"]+)"`).FindAllStringSubmatch(string(r.body), -1) {
		name, ok := strings.CutPrefix(ref[1], "#/components/schemas/")
		if !ok || spec.Components.Schemas[name] == nil {
			t.Errorf("nothing at %s", ref[1])
		}
	}
}

type operation struct {
	OperationID string
	Summary     string
	Description string
	Tags        []string
	Security    []map[string][]string
	Parameters  []struct {
		Name, In string
		Required bool
	}
	RequestBody *struct {
		Content map[string]struct{ Schema json.RawMessage }
	}
	Responses map[string]struct {
		Description string
		Content     map[string]struct{ Schema json.RawMessage }
	}
}

func (op operation) check(t *testing.T, name, path string) {
	t.Helper()
	if op.OperationID == "" || op.Summary == "" || len(op.Tags) != 1 {
		t.Errorf("%s says too little: %+v", name, op)
	}
	declared := map[string]bool{}
	for _, p := range op.Parameters {
		declared[p.In+" "+p.Name] = p.In != "path" || p.Required
	}
	for _, param := range regexp.MustCompile(`\{(\w+)\}`).FindAllStringSubmatch(path, -1) {
		if !declared["path "+param[1]] {
			t.Errorf("%s does not describe %s", name, param[1])
		}
	}
	good := false
	for status, response := range op.Responses {
		good = good || status[0] == '2'
		if response.Description == "" {
			t.Errorf("%s: %s is not described", name, status)
		}
		if status[0] == '2' && status != "204" && len(response.Content) == 0 {
			t.Errorf("%s: %s has no content", name, status)
		}
		if problem := response.Content["application/problem+json"]; status[0] >= '4' && string(problem.Schema) != `{"$ref":"#/components/schemas/Problem"}` && name != "GET /readyz" {
			t.Errorf("%s: %s is no problem: %v", name, status, response.Content)
		}
	}
	if !good {
		t.Errorf("%s has no good answer", name)
	}
	if op.RequestBody != nil {
		for kind, body := range op.RequestBody.Content {
			if !strings.Contains(string(body.Schema), "$ref") {
				t.Errorf("%s: the body as %s is %s", name, kind, body.Schema)
			}
		}
	}
	if op.Responses["400"].Description == "" { // a query string or a token that cannot be read
		t.Errorf("%s does not say that it may answer 400", name)
	}
	if len(op.Security) > 0 && op.Responses["401"].Description == "" {
		t.Errorf("%s does not say that it may answer 401", name)
	}
}
