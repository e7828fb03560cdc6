package client_test

import (
	"cmp"
	"encoding/json"
	"errors"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"lonja/client"
)

// unsent are parameters that the client leaves to others.
var unsent = map[string]string{
	"header traceparent":                             "a traced http.Client's transport sends it",
	"query after of show-the-sandbox-providers-page": "for a browser that is sent back to it",
}

func TestClient_AgreesWithTheDocument(t *testing.T) {
	doc := readDocument(t)
	checked := map[string]bool{}
	for _, path := range slices.Sorted(maps.Keys(doc.Paths)) {
		for _, op := range doc.Paths[path] {
			t.Run(op.OperationID, func(t *testing.T) {
				method := methods[op.OperationID]
				if method == nil {
					t.Fatalf("the client has no method for %s %s; write it, and add it to methods", op.method, path)
				}
				checked[op.OperationID] = true
				p := &play{t: t, doc: doc, op: op, method: method}
				p.begin()
				p.succeeds()
				p.isRefused()
				if _, defers := op.Responses["202"]; defers {
					p.isDeferred()
				}
			})
		}
	}
	for id := range methods {
		if !checked[id] {
			t.Errorf("the document has no operation %q any more", id)
		}
	}
}

// play is an operation, sent by the client to a server that plays the shop.
type play struct {
	t      *testing.T
	doc    *document
	op     *operation
	method func(*client.Client, args) (any, error)
	args   args
	client *client.Client

	mu     sync.Mutex
	heard  []heard
	answer func(w http.ResponseWriter, path string, nth int)
}

// heard is a request that came.
type heard struct {
	*http.Request
	body []byte
}

func (p *play) begin() {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		p.mu.Lock()
		defer p.mu.Unlock()
		p.heard = append(p.heard, heard{r, body})
		p.answer(w, r.URL.Path, len(p.heard))
	}))
	p.t.Cleanup(server.Close)
	p.client = at(p.t, server.URL, client.WithRetries(0), client.WithAccessToken("the-token"), client.WithConsistency("ORDERS:7"))
	p.args = args{ctx: p.t.Context(), path: map[string]string{}, query: map[string]any{}}
	for _, param := range p.op.Parameters {
		switch {
		case param.In == "path" && param.Schema.Type == "integer":
			p.args.path[param.Name] = "4711"
		case param.In == "path":
			p.args.path[param.Name] = p.doc.example(param.Schema).(string)
		case param.In == "query":
			p.args.query[param.Name] = p.doc.example(param.Schema)
		}
	}
	if body := p.op.RequestBody; body != nil {
		p.args.body, _ = json.Marshal(p.doc.example(body.Content["application/json"].Schema))
	}
}

// call calls the method, and returns what the server heard meanwhile.
func (p *play) call(answer func(w http.ResponseWriter, path string, nth int)) (any, []heard, error) {
	p.mu.Lock()
	p.heard, p.answer = nil, answer
	p.mu.Unlock()
	got, err := p.method(p.client, p.args)
	p.mu.Lock()
	defer p.mu.Unlock()
	return got, p.heard, err
}

// succeeds compares the request with what the document says, and the result with
// the answer.
func (p *play) succeeds() {
	p.t.Helper()
	status, contentType, example := p.doc.success(p.op)
	got, sent, err := p.call(func(w http.ResponseWriter, _ string, _ int) { write(w, status, contentType, example) })
	if err != nil || len(sent) != 1 {
		p.t.Fatalf("%v after %d requests", err, len(sent))
	}
	p.checkRequest(sent[0])
	if contentType != "text/event-stream" {
		p.same("the result", got, example)
	}
}

func (p *play) checkRequest(r heard) {
	p.t.Helper()
	path := p.op.path
	for name, value := range p.args.path {
		path = strings.ReplaceAll(path, "{"+name+"}", value)
	}
	if r.Method != p.op.method || r.URL.Path != path {
		p.t.Errorf("sent %s %s; want %s %s", r.Method, r.URL.Path, p.op.method, path)
	}
	for _, name := range p.op.named("query") {
		if got := r.URL.Query().Get(name); got != text(p.args.query[name]) && unsent["query "+name+" of "+p.op.OperationID] == "" {
			p.t.Errorf("sent %s=%q; want %q", name, got, text(p.args.query[name]))
		}
	}
	for name := range r.URL.Query() {
		if !slices.Contains(p.op.named("query"), name) {
			p.t.Errorf("sent %s, which is not known here", name)
		}
	}
	for _, name := range p.op.named("header") {
		if r.Header.Get(name) == "" && unsent["header "+name] == "" {
			p.t.Errorf("sent no %s", name)
		}
	}
	for _, name := range []string{"Idempotency-Key", "Prefer", "Last-Event-ID"} {
		if r.Header.Get(name) != "" && !slices.Contains(p.op.named("header"), name) {
			p.t.Errorf("sent %s, which is not known here", name)
		}
	}
	if signed := r.Header.Get("Authorization") == "Bearer the-token"; signed != (p.op.Security != nil) {
		p.t.Errorf("sent Authorization %q", r.Header.Get("Authorization"))
	}
	if p.args.body == nil {
		if len(r.body) > 0 {
			p.t.Errorf("sent a body: %s", r.body)
		}
		return
	}
	if p.same("the body", json.RawMessage(r.body), json.RawMessage(p.args.body)); p.op.RequestBody.Content[r.Header.Get("Content-Type")].Schema == nil {
		p.t.Errorf("sent Content-Type %q", r.Header.Get("Content-Type"))
	}
}

// isRefused plays every problem that the document tells of.
func (p *play) isRefused() {
	p.t.Helper()
	for _, status := range p.op.refusals() {
		example := p.doc.example(p.doc.schema("Problem")).(map[string]any)
		example["status"] = float64(status)
		_, _, err := p.call(func(w http.ResponseWriter, _ string, _ int) { write(w, status, "application/problem+json", example) })
		var got *client.Problem
		if !errors.As(err, &got) {
			p.t.Errorf("%d: %v", status, err)
			continue
		}
		p.same("the problem", got, example)
	}
}

// isDeferred plays a shop whose service is away for a moment.
func (p *play) isDeferred() {
	p.t.Helper()
	_, _, result := p.doc.success(p.op)
	pending := map[string]any{"id": "cmd_1", "status": "pending"}
	done := p.doc.example(p.doc.schema("Outcome")).(map[string]any)
	delete(done, "problem")
	done["status"], done["result"] = "done", result
	p.client = p.client.Session(client.WithBackoff(time.Millisecond, time.Millisecond), client.WithAccessToken("the-token"))
	got, sent, err := p.call(func(w http.ResponseWriter, path string, nth int) {
		switch {
		case path != "/api/commands/cmd_1":
			write(w, http.StatusAccepted, "application/json", pending)
		case nth < 4:
			write(w, http.StatusOK, "application/json", pending)
		default:
			write(w, http.StatusOK, "application/json", done)
		}
	})
	if err != nil || len(sent) != 4 {
		p.t.Fatalf("deferred: %v after %d requests", err, len(sent))
	}
	if result != nil {
		p.same("the outcome's result", got, result)
	}
}

func write(w http.ResponseWriter, status int, contentType string, body any) {
	if contentType == "" {
		w.WriteHeader(status)
		return
	}
	w.Header().Set("Content-Type", contentType)
	w.WriteHeader(status)
	switch contentType {
	case "text/event-stream":
		_, _ = io.WriteString(w, "id: 42\nevent: status\ndata: {\"status\":\"cancelled\",\"time\":\"2026-11-27T10:00:00Z\"}\n\n")
	case "text/plain":
		_, _ = io.WriteString(w, body.(string))
	default:
		_ = json.NewEncoder(w).Encode(body)
	}
}

// same compares two values by their JSON.
func (p *play) same(what string, got, want any) {
	p.t.Helper()
	if g, w := plain(p.t, got), plain(p.t, want); !reflect.DeepEqual(g, w) {
		p.t.Errorf("%s is\n%v\nwant\n%v", what, g, w)
	}
}

func plain(t *testing.T, v any) (out any) {
	t.Helper()
	raw, err := json.Marshal(v)
	if err == nil {
		err = json.Unmarshal(raw, &out)
	}
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func text(v any) string {
	raw, _ := json.Marshal(v)
	return strings.Trim(string(raw), `"`)
}

func TestClient_HasEveryEnumValue(t *testing.T) {
	doc := readDocument(t)
	for _, c := range []struct {
		schema, field string
		words         any
	}{
		{"OrderView", "status", []client.OrderStatus{client.Placed, client.AwaitingPayment, client.Paid, client.Shipped, client.Delivered, client.Cancelled}},
		{"OrderMove", "status", []client.OrderStatus{client.Cancelled, client.Shipped, client.Delivered}},
		{"OrderPayment", "status", []client.PaymentStatus{client.PaymentPending, client.PaymentCaptured, client.PaymentDeclined, client.PaymentExpired, client.PaymentVoided, client.PaymentPartiallyRefunded, client.PaymentRefunded}},
		{"RefundView", "status", []client.RefundStatus{client.RefundRequested, client.RefundDone, client.RefundFailed}},
		{"Problem", "code", []client.Code{client.Invalid, client.NotFound, client.Conflict, client.Unauthenticated, client.Forbidden, client.Unavailable, client.RateLimited, client.Internal}},
		{"Outcome", "status", []string{client.Pending, client.Done, client.Refused}},
		{"ServiceIsUp", "status", []string{client.ServiceReady, client.ServiceMissing, client.ServiceBehind, client.ServiceFailed}},
		{"RolesChange", "roles", []string{client.Customer, client.Staff, client.Admin}},
		{"Settlement", "outcome", []string{client.Pay, client.Decline}},
	} {
		property := doc.schema(c.schema).Properties[c.field]
		words := cmp.Or(property.Items, property).Enum
		if got := plain(t, c.words); len(words) == 0 || !reflect.DeepEqual(got, plain(t, words)) {
			t.Errorf("%s.%s: the client has %v, the document %v", c.schema, c.field, got, words)
		}
	}
}
