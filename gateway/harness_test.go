package gateway_test

import (
	"bytes"
	"cmp"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/nats-io/nats.go"

	"lonja/events"
	"lonja/events/query"
	"lonja/gateway"
	"lonja/kit/bus"
	"lonja/kit/errs"
	"lonja/kit/eventlog"
	"lonja/kit/httpapi/openapitest"
	"lonja/kit/revocation"
	"lonja/kit/service"
	"lonja/shop/shoptest"
)

// testShop is a gateway for a shop on a real NATS server, without services. Each test fakes
// the services that it needs, and so sees exactly what they would receive. Identity's keys
// are always faked, so that a test can sign any token.
type testShop struct {
	*shoptest.Shop
	t       testing.TB
	server  *httptest.Server
	handler http.Handler // what it serves
	key     ed25519.PrivateKey
	fakes   map[string]*nats.Subscription
	keys    []string             // Idempotency-Keys to send as they are
	checked *openapitest.Checked // compares all answers with the OpenAPI document,
	// unless the test makes up one that no service gives
	unchecked bool
	madeUp    atomic.Bool // services whose answers are made up, besides identity's keys
}

const keyID = "key-1"

func open(t testing.TB) *testShop {
	t.Helper()
	return openWith(t, ownMachine)
}

// ownMachine is a shop for those who sit before it, as up has it.
var ownMachine = gateway.Config{PublicURL: "http://shop.example:8080", Local: true, Sandbox: true}

func openWith(t testing.TB, c gateway.Config, services ...*service.Service) *testShop {
	t.Helper()
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	f := &testShop{Shop: shoptest.Start(t, services...), t: t, key: private, fakes: map[string]*nats.Subscription{}}
	f.fake("queries.identity.keys", func(*nats.Msg) any { return keyset(keyID, public) })
	c.PublicURL = cmp.Or(c.PublicURL, ownMachine.PublicURL)
	c.Client, c.Revoked, c.DeadLetters, c.Streams = f.Client, revocation.New(f.Conn), bus.NewDeadLetterQueue(f.JS), f.Streams
	handler, err := gateway.New(c)
	if err != nil {
		t.Fatal(err)
	}
	f.handler, f.server = handler, httptest.NewServer(handler)
	t.Cleanup(f.server.Close)
	f.checked = openapitest.Transport(t, f.server.URL+"/openapi.json", "/docs", "/openapi.json", "/asyncapi.json")
	f.checked.Played = func(*http.Request) bool { return f.madeUp.Load() }
	return f
}

func keyset(id string, public ed25519.PublicKey) query.Keyset {
	return query.Keyset{Keys: []query.Key{{KeyType: "OKP", Curve: "Ed25519", Algorithm: "EdDSA", Use: "sig", KeyID: id,
		X: base64.RawURLEncoding.EncodeToString(public)}}}
}

// fake answers requests to a subject in place of a service: with JSON, a reply or an error.
func (f *testShop) fake(subject string, answer func(*nats.Msg) any) {
	f.t.Helper()
	sub, err := f.Conn.Subscribe(subject, func(m *nats.Msg) {
		reply := nats.NewMsg(m.Reply)
		body := answer(m)
		if r, refused := body.(*errs.Error); refused {
			reply.Header.Set(bus.HeaderErrorCode, string(r.Code))
		}
		if r, ok := body.(receipt); ok {
			reply.Header.Set(bus.HeaderEntity, r.entity)
			reply.Header.Set(bus.HeaderPosition, r.position)
			if r.replayed {
				reply.Header.Set(bus.HeaderReplayed, "true")
			}
			body = r.body
		}
		reply.Data, _ = json.Marshal(body)
		_ = m.RespondMsg(reply)
	})
	if err != nil {
		f.t.Fatal(err)
	}
	f.fakes[subject] = sub
	if subject != "queries.identity.keys" {
		f.madeUp.Store(true)
	}
	f.flush()
}

// stopFake stops answering a subject. It returns once the requests received so far are answered.
func (f *testShop) stopFake(subject string) {
	f.t.Helper()
	gone := make(chan struct{})
	f.fakes[subject].SetClosedHandler(func(string) { close(gone) })
	if err := f.fakes[subject].Drain(); err != nil { // what was asked already is answered
		f.t.Fatal(err)
	}
	<-gone
}

// receipt is a fake service's reply to a command.
type receipt struct {
	entity, position string
	body             any
	replayed         bool
}

func (f *testShop) flush() {
	if err := f.Conn.Flush(); err != nil {
		f.t.Fatal(err)
	}
}

// as returns the value of an Authorization header for a user with roles.
func (f *testShop) as(user string, roles ...string) string {
	return "Bearer " + f.sign(jwt.SigningMethodEdDSA, f.key, keyID, claimsOf(user, roles...))
}

func claimsOf(user string, roles ...string) jwt.MapClaims {
	return jwt.MapClaims{"iss": "lonja", "aud": "lonja", "pos": 7, "sub": user, "roles": roles,
		"iat": time.Now().Unix(), "exp": time.Now().Add(10 * time.Minute).Unix()}
}

func (f *testShop) sign(method jwt.SigningMethod, key any, kid string, claims jwt.MapClaims) string {
	f.t.Helper()
	token := jwt.NewWithClaims(method, claims)
	token.Header["kid"] = kid
	signed, err := token.SignedString(key)
	if err != nil {
		f.t.Fatal(err)
	}
	return signed
}

func (f *testShop) staff() string { return f.as("usr_staff", events.Staff) }
func (f *testShop) ana() string   { return f.as("usr_ana", events.Customer) }

// response is a response and its body.
type response struct {
	*http.Response
	t    testing.TB
	body []byte
}

// do sends a request. A string body is sent as it is, anything else as JSON. Headers are
// pairs of name and value; those with the value "" are left out.
func (f *testShop) do(method, path string, body any, headers ...string) *response {
	f.t.Helper()
	var sent []byte
	switch b := body.(type) {
	case nil:
	case string:
		sent = []byte(b)
	default:
		var err error
		if sent, err = json.Marshal(b); err != nil {
			f.t.Fatal(err)
		}
	}
	req, err := http.NewRequestWithContext(f.t.Context(), method, f.server.URL+path, bytes.NewReader(sent))
	if err != nil {
		f.t.Fatal(err)
	}
	for i := 0; i < len(headers); i += 2 {
		if headers[i+1] != "" {
			req.Header.Add(headers[i], headers[i+1])
		}
	}
	req.Header["Idempotency-Key"] = append(req.Header["Idempotency-Key"], f.keys...)
	var transport http.RoundTripper = f.checked
	if f.unchecked {
		transport = http.DefaultTransport
	}
	client := http.Client{Transport: transport, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	resp, err := client.Do(req)
	if err != nil {
		f.t.Fatal(err)
	}
	defer resp.Body.Close()
	got, err := io.ReadAll(resp.Body)
	if err != nil {
		f.t.Fatal(err)
	}
	return &response{resp, f.t, got}
}

// expect fails the test unless the response has the status, and decodes the body.
func (r *response) expect(status int, into any) *response {
	r.t.Helper()
	if r.StatusCode != status {
		r.t.Fatalf("%s %s: want %d, got %d %s", r.Request.Method, r.Request.URL.Path, status, r.StatusCode, r.body)
	}
	if into != nil {
		if err := json.Unmarshal(r.body, into); err != nil {
			r.t.Fatalf("%v in %s", err, r.body)
		}
	}
	return r
}

type problem struct {
	Type, Title, Detail, Field, Instance string
	Status                               int
	Code                                 errs.Code
	Errors                               []struct{ Field, Detail string }
}

// expectProblem fails the test unless the response is a problem with this status, code and
// field; "*" is any field.
func (r *response) expectProblem(status int, code errs.Code, field string) problem {
	r.t.Helper()
	var p problem
	if ct := r.Header.Get("Content-Type"); ct != "application/problem+json" {
		r.t.Fatalf("%s %s: want a problem, got %d %q %s", r.Request.Method, r.Request.URL.Path, r.StatusCode, ct, r.body)
	}
	if err := json.Unmarshal(r.body, &p); err != nil {
		r.t.Fatalf("%v in %s", err, r.body)
	}
	if r.StatusCode != status || p.Status != status || p.Code != code || field != "*" && p.Field != field {
		r.t.Errorf("%s %s: want %d %s %q, got %d %s", r.Request.Method, r.Request.URL.Path, status, code, field, r.StatusCode, r.body)
	}
	if p.Detail == "" || p.Title == "" || !strings.HasPrefix(p.Type, "urn:lonja:problem:") {
		r.t.Errorf("a problem that does not say enough: %s", r.body)
	}
	return p
}

func header(m *nats.Msg) eventlog.Envelope {
	env, _ := eventlog.ParseEnvelope(m.Header.Get)
	return env
}
