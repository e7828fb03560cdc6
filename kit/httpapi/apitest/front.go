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

// Name is what an API of Front is called.
const Name = "counters"

// KeyID is the id of the key that Front signs tokens with.
const KeyID = "key-1"

// Front is an API before services that a test runs or plays.
type Front struct {
	*World
	T      testing.TB
	URL    string // of the API, once it is served
	Tokens *bearer.Verifier
	Key    ed25519.PrivateKey
	Keys   func() ([]byte, error) // what the issuer answers who asks for its keys; a test may replace it
	played map[string]*nats.Subscription
}

// Open starts a server, until the test ends.
func Open(t testing.TB) *Front {
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
	f := &Front{World: w, T: t, Key: private, played: map[string]*nats.Subscription{}}
	f.Keys = func() ([]byte, error) { return KeySet(KeyID, public), nil }
	f.Tokens = bearer.New(bearer.Config{Revoked: revocation.New(w.Conn), Issuer: Name, Audience: Name, TicketIssuer: Name + "/stream", TicketFor: "counter",
		Keys: func(context.Context) ([]byte, error) { return f.Keys() }})
	return f
}

// KeySet is a JSON Web Key Set of one key.
func KeySet(id string, public ed25519.PublicKey) []byte {
	return fmt.Appendf(nil, `{"keys":[{"kty":"OKP","crv":"Ed25519","kid":%q,"x":%q}]}`, id, base64.RawURLEncoding.EncodeToString(public))
}

// Config is an API's, for httpapi.New.
func (f *Front) Config() httpapi.Config {
	return httpapi.Config{Client: f.Client, Name: Name, Tokens: f.Tokens, Title: "Counters", Version: "1.0.0",
		AboutTokens: "From the test", AboutTickets: "From the test", PublicURL: "https://counters.example"}
}

// Serve serves routes in the way of Config, which may be changed, until the test
// ends. It returns the handler; requests of Do go to it from then on.
func (f *Front) Serve(c httpapi.Config, routes ...httpapi.Route) http.Handler {
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

// Receipt is a played answer to a command.
type Receipt struct {
	Entity, Position string
	Body             any
	Replayed         bool
}

// Play answers a subject in a service's place: with JSON, a Receipt or a
// *errs.Error.
func (f *Front) Play(subject string, answer func(*nats.Msg) any) {
	f.T.Helper()
	sub, err := f.Conn.Subscribe(subject, func(m *nats.Msg) {
		reply := nats.NewMsg(m.Reply)
		body := answer(m)
		switch b := body.(type) {
		case *errs.Error:
			reply.Header.Set(bus.HeaderErrorCode, string(b.Code))
		case Receipt:
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
	f.played[subject] = sub
}

// Quiet takes the player of a subject away. What was asked already is answered.
func (f *Front) Quiet(subject string) {
	f.T.Helper()
	gone := make(chan struct{})
	f.played[subject].SetClosedHandler(func(string) { close(gone) })
	if err := f.played[subject].Drain(); err != nil {
		f.T.Fatal(err)
	}
	<-gone
}

// Envelope is what stands on the outside of a played message.
func Envelope(m *nats.Msg) eventlog.Envelope {
	env, _ := eventlog.ParseEnvelope(m.Header.Get)
	return env
}

// Claims are a good access token's.
func Claims(user string, roles ...string) jwt.MapClaims {
	return jwt.MapClaims{"iss": Name, "aud": Name, "pos": 7, "sub": user, "roles": roles, "exp": time.Now().Add(10 * time.Minute).Unix()}
}

// Sign makes a token.
func (f *Front) Sign(method jwt.SigningMethod, key any, keyID string, claims jwt.MapClaims) string {
	f.T.Helper()
	token := jwt.NewWithClaims(method, claims)
	token.Header["kid"] = keyID
	signed, err := token.SignedString(key)
	if err != nil {
		f.T.Fatal(err)
	}
	return signed
}

// As is an Authorization header for somebody with roles.
func (f *Front) As(user string, roles ...string) string {
	return "Bearer " + f.Sign(jwt.SigningMethodEdDSA, f.Key, KeyID, Claims(user, roles...))
}

// Response is what came back.
type Response struct {
	*http.Response
	Text string // its body
	T    testing.TB
}

// Do sends a request. Headers are pairs; one whose value is "" is left out.
func (f *Front) Do(method, path, body string, headers ...string) *Response {
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

// Gives fails the test unless the status and the body are these.
func (r *Response) Gives(status int, body string) *Response {
	r.T.Helper()
	if r.StatusCode != status || r.Text != body {
		r.T.Fatalf("%s %s: want %d %s, got %d %s", r.Request.Method, r.Request.URL.Path, status, body, r.StatusCode, r.Text)
	}
	return r
}

// Problem is the body of a refused request.
type Problem struct {
	Type, Title, Detail, Field, Instance string
	Status                               int
	Code                                 errs.Code
}

// Fails fails the test unless the answer is a problem like that.
func (r *Response) Fails(status int, code errs.Code, field string) Problem {
	r.T.Helper()
	var p Problem
	if err := json.Unmarshal([]byte(r.Text), &p); err != nil || r.Header.Get("Content-Type") != "application/problem+json" {
		r.T.Fatalf("%s %s: no problem but %d %s (%v)", r.Request.Method, r.Request.URL.Path, r.StatusCode, r.Text, err)
	}
	if r.StatusCode != status || p.Status != status || p.Code != code || p.Field != field || p.Type != "urn:"+Name+":problem:"+string(code) || strings.TrimSpace(p.Detail) == "" {
		r.T.Errorf("%s %s: want %d %s %q, got %d %s", r.Request.Method, r.Request.URL.Path, status, code, field, r.StatusCode, r.Text)
	}
	return p
}
