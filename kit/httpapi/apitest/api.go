package apitest

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/nats-io/nats.go"

	"lonja/kit/bus"
	"lonja/kit/errs"
	"lonja/kit/eventlog"
	"lonja/kit/httpapi"
	"lonja/kit/httpapi/bearer"
	"lonja/kit/revocation"
)

// Name is the Name of an API's configuration, and the issuer and audience of its tokens.
const Name = "counters"

// KeyID is the ID of the key that API signs tokens with.
const KeyID = "key-1"

// API is an HTTP API for a test, in front of services that the test runs or fakes.
type API struct {
	*Fixture
	T      testing.TB
	URL    string // the server's, set by Serve
	Tokens *bearer.Verifier
	Key    ed25519.PrivateKey
	Keys   func() ([]byte, error) // the issuer's key set; a test may replace the function
	fakes  map[string]*nats.Subscription
}

// Open starts a NATS server, which stops when the test ends. It serves no API yet.
func Open(t testing.TB) *API {
	t.Helper()
	w, err := Start(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := w.Close(); err != nil {
			t.Error(err)
		}
	})
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	f := &API{Fixture: w, T: t, Key: private, fakes: map[string]*nats.Subscription{}}
	f.Keys = func() ([]byte, error) { return KeySet(KeyID, public), nil }
	f.Tokens = bearer.New(bearer.Config{Revoked: revocation.New(w.Conn), Issuer: Name, Audience: Name, TicketIssuer: Name + "/stream", TicketResource: "counter",
		FetchKeys: func(context.Context) ([]byte, error) { return f.Keys() }})
	return f
}

// KeySet returns a JSON Web Key Set of one key.
func KeySet(id string, public ed25519.PublicKey) []byte {
	return fmt.Appendf(nil, `{"keys":[{"kty":"OKP","crv":"Ed25519","kid":%q,"x":%q}]}`, id, base64.RawURLEncoding.EncodeToString(public))
}

// Config returns a valid configuration for Serve, which the test may change.
func (f *API) Config() httpapi.Config {
	return httpapi.Config{Client: f.Client, Name: Name, Tokens: f.Tokens, Title: "Counters", Version: "1.0.0",
		AboutTokens: "From the test", AboutTickets: "From the test", PublicURL: "https://counters.example"}
}

// Serve serves the routes until the test ends, and returns their handler. From then on, Do
// sends its requests there.
func (f *API) Serve(c httpapi.Config, routes ...httpapi.Route) http.Handler {
	f.T.Helper()
	api, err := httpapi.New(c)
	if err != nil {
		f.T.Fatal(err)
	}
	api.Add("counters", routes...)
	handler, err := api.Handler()
	if err != nil {
		f.T.Fatal(err)
	}
	server := httptest.NewServer(handler)
	f.T.Cleanup(server.Close)
	f.URL = server.URL
	return handler
}

// Reply is a fake service's reply to a command.
type Reply struct {
	Entity, Position string
	Body             any
	Replayed         bool
}

// Fake answers requests to a subject in place of a service. The function returns a Reply, an
// *errs.Error, or a value to send as JSON.
func (f *API) Fake(subject string, answer func(*nats.Msg) any) {
	f.T.Helper()
	sub, err := f.Conn.Subscribe(subject, func(m *nats.Msg) {
		reply := nats.NewMsg(m.Reply)
		body := answer(m)
		switch b := body.(type) {
		case *errs.Error:
			reply.Header.Set(bus.HeaderErrorCode, string(b.Code))
		case Reply:
			reply.Header.Set(bus.HeaderEntity, b.Entity)
			reply.Header.Set(bus.HeaderPosition, b.Position)
			if b.Replayed {
				reply.Header.Set(bus.HeaderReplayed, "true")
			}
			body = b.Body
		}
		reply.Data, _ = json.Marshal(body)
		_ = m.RespondMsg(reply)
	})
	if err == nil {
		err = f.Conn.Flush()
	}
	if err != nil {
		f.T.Fatal(err)
	}
	f.fakes[subject] = sub
}

// StopFake stops answering a subject. It returns once all requests received so far are
// answered.
func (f *API) StopFake(subject string) {
	f.T.Helper()
	gone := make(chan struct{})
	f.fakes[subject].SetClosedHandler(func(string) { close(gone) })
	if err := f.fakes[subject].Drain(); err != nil {
		f.T.Fatal(err)
	}
	<-gone
}

// Envelope returns the envelope in a message's headers.
func Envelope(m *nats.Msg) eventlog.Envelope {
	env, _ := eventlog.ParseEnvelope(m.Header.Get)
	return env
}

// Claims returns the claims of a valid access token.
func Claims(user string, roles ...string) jwt.MapClaims {
	return jwt.MapClaims{"iss": Name, "aud": Name, "pos": 7, "sub": user, "roles": roles, "exp": time.Now().Add(10 * time.Minute).Unix()}
}

// Sign returns a signed token.
func (f *API) Sign(method jwt.SigningMethod, key any, keyID string, claims jwt.MapClaims) string {
	f.T.Helper()
	token := jwt.NewWithClaims(method, claims)
	token.Header["kid"] = keyID
	signed, err := token.SignedString(key)
	if err != nil {
		f.T.Fatal(err)
	}
	return signed
}

// Authorization returns the value of an Authorization header for a user with roles.
func (f *API) Authorization(user string, roles ...string) string {
	return "Bearer " + f.Sign(jwt.SigningMethodEdDSA, f.Key, KeyID, Claims(user, roles...))
}

// Response is a response and its body.
type Response struct {
	*http.Response
	Text string // its body
	T    testing.TB
}

// Do sends a request. Headers are pairs of name and value; those with the value "" are left
// out. Redirects are not followed.
func (f *API) Do(method, path, body string, headers ...string) *Response {
	f.T.Helper()
	req, err := http.NewRequestWithContext(f.T.Context(), method, f.URL+path, bytes.NewReader([]byte(body)))
	if err != nil {
		f.T.Fatal(err)
	}
	for i := 0; i < len(headers); i += 2 {
		if headers[i+1] != "" {
			req.Header.Add(headers[i], headers[i+1])
		}
	}
	client := http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	resp, err := client.Do(req)
	if err != nil {
		f.T.Fatal(err)
	}
	defer resp.Body.Close()
	got, err := io.ReadAll(resp.Body)
	if err != nil {
		f.T.Fatal(err)
	}
	return &Response{resp, string(got), f.T}
}

// Expect fails the test unless the response has this status and body.
func (r *Response) Expect(status int, body string) *Response {
	r.T.Helper()
	if r.StatusCode != status || r.Text != body {
		r.T.Fatalf("%s %s: want %d %s, got %d %s", r.Request.Method, r.Request.URL.Path, status, body, r.StatusCode, r.Text)
	}
	return r
}

// Problem is the body of an error response.
type Problem struct {
	Type, Title, Detail, Field, Instance string
	Status                               int
	Code                                 errs.Code
}

// ExpectProblem fails the test unless the response is a problem with this status, code and
// field, and with a type and a detail.
func (r *Response) ExpectProblem(status int, code errs.Code, field string) Problem {
	r.T.Helper()
	var p Problem
	if err := json.Unmarshal([]byte(r.Text), &p); err != nil || r.Header.Get("Content-Type") != "application/problem+json" {
		r.T.Fatalf("%s %s: want a problem, got %d %s (%v)", r.Request.Method, r.Request.URL.Path, r.StatusCode, r.Text, err)
	}
	if r.StatusCode != status || p.Status != status || p.Code != code || p.Field != field || p.Type != "urn:"+Name+":problem:"+string(code) || strings.TrimSpace(p.Detail) == "" {
		r.T.Errorf("%s %s: want %d %s %q, got %d %s", r.Request.Method, r.Request.URL.Path, status, code, field, r.StatusCode, r.Text)
	}
	return p
}
