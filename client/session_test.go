package client_test

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"lonja/client"
)

func dialError() error { return &net.OpError{Op: "dial", Err: syscall.ECONNREFUSED} }

func respond(status int, retryAfter string) *http.Response {
	return &http.Response{StatusCode: status, Header: http.Header{"Retry-After": {retryAfter}}, Body: io.NopCloser(strings.NewReader(""))}
}

// authority is a shop that only hands out tokens, and greets those who have the
// newest one.
type authority struct {
	mu       sync.Mutex
	serial   int
	lifetime int
	forgets  bool // refuses to refresh
	asked    []string
	tokens   []string // the Consistency-Tokens that came
}

func (a *authority) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.asked = append(a.asked, r.URL.Path)
	switch {
	case r.URL.Path == "/api/auth/refresh" && a.forgets:
		w.WriteHeader(http.StatusUnauthorized)
		fmt.Fprint(w, `{"code":"unauthenticated"}`)
	case r.URL.Path != "/api/auth/verify":
		a.serial++
		fmt.Fprintf(w, `{"access_token":"a%d","refresh_token":"r%d","expires_in":%d}`, a.serial, a.serial, a.lifetime)
	case r.Header.Get("Authorization") != fmt.Sprintf("Bearer a%d", a.serial):
		w.WriteHeader(http.StatusUnauthorized)
		fmt.Fprint(w, `{"code":"unauthenticated"}`)
	default:
		a.tokens = append(a.tokens, r.Header.Get("Consistency-Token"))
		w.Header().Set("Consistency-Token", fmt.Sprintf("S:%d", len(a.tokens)))
		fmt.Fprint(w, `{}`)
	}
}

func (a *authority) revoke() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.serial++
}

func TestSession_KeepsItsTokens(t *testing.T) {
	const login, refresh, hello = "/api/auth/login", "/api/auth/refresh", "/api/auth/verify"
	for name, c := range map[string]struct {
		lifetime int  // of an access token, in seconds
		revoked  bool // all access tokens, between the two greetings
		forgets  bool // the refresh token has ended, too
		asked    []string
	}{
		"one login for all":          {900, false, false, []string{login, hello, hello}},
		"refreshed before the end":   {0, false, false, []string{login, hello, refresh, hello}},
		"refreshed when turned down": {900, true, false, []string{login, hello, hello, refresh, hello}},
		"by password when forgotten": {900, true, true, []string{login, hello, hello, refresh, login, hello}},
	} {
		t.Run(name, func(t *testing.T) {
			shop := &authority{lifetime: c.lifetime, forgets: c.forgets}
			var told []string
			me := played(t, shop, client.WithTokens(client.Tokens{}), client.WithPassword("ana@example.com", "correct horse"),
				client.OnTokens(func(t client.Tokens) { told = append(told, t.AccessToken) }))
			for i := range 2 {
				if _, err := me.Me(t.Context()); err != nil {
					t.Fatal(err)
				}
				if c.revoked && i == 0 {
					shop.revoke()
				}
			}
			if !slices.Equal(shop.asked, c.asked) {
				t.Errorf("asked %v; want %v", shop.asked, c.asked)
			}
			if !slices.Equal(shop.tokens, []string{"", "S:1"}) {
				t.Errorf("sent consistency tokens %q", shop.tokens)
			}
			if len(told) == 0 || told[len(told)-1] != me.Tokens().AccessToken {
				t.Errorf("told of %q", told)
			}
		})
	}
}

func TestSession_EndedOneIsDropped(t *testing.T) {
	shop := &authority{lifetime: 900, forgets: true}
	var told []client.Tokens
	me := played(t, shop, client.WithTokens(client.Tokens{AccessToken: "old", RefreshToken: "r"}),
		client.OnTokens(func(t client.Tokens) { told = append(told, t) }))
	for range 2 {
		if _, err := me.Me(t.Context()); !errors.Is(err, client.Unauthenticated) {
			t.Fatalf("over: %v", err)
		}
	}
	if len(told) != 1 || told[0].RefreshToken != "" || me.Tokens().AccessToken != "" {
		t.Errorf("told of %v", told)
	}
	if want := []string{"/api/auth/verify", "/api/auth/refresh", "/api/auth/verify"}; !slices.Equal(shop.asked, want) {
		t.Errorf("asked %v; want %v", shop.asked, want)
	}
	if err := me.LogOut(t.Context()); err == nil {
		t.Error("a session that is over ends again")
	}
}

// Many callers that need another token make one request for it.
func TestSession_OneCallerRenewsForAll(t *testing.T) {
	shop := &authority{lifetime: 900}
	me := played(t, shop, client.WithTokens(client.Tokens{AccessToken: "a0", RefreshToken: "r", ExpiresIn: 900, Expiry: time.Now()}))
	var callers sync.WaitGroup
	for range 20 {
		callers.Go(func() {
			if _, err := me.Me(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
	callers.Wait()
	shop.mu.Lock()
	defer shop.mu.Unlock()
	if shop.serial != 1 || len(shop.asked) != 21 {
		t.Errorf("renewed %d times with %d requests", shop.serial, len(shop.asked))
	}
}

func TestRegister_ReplayLogsIn(t *testing.T) {
	shop := &script{replies: []reply{{201, `{"access_token":"old","refresh_token":"r","expires_in":900}`, http.Header{"Idempotent-Replayed": {"true"}}},
		{200, `{"access_token":"new","expires_in":900}`, nil}, {200, `{}`, nil}}}
	me := played(t, shop)
	var res client.Response
	if _, err := me.Register(t.Context(), client.NewAccount{}, client.Into(&res)); err != nil || !res.Replayed() || res.StatusCode != 201 {
		t.Fatalf("%v %+v", err, res)
	}
	if _, err := me.Me(t.Context()); err != nil {
		t.Fatal(err)
	}
	heard := shop.requests()
	if len(heard) != 3 || heard[1].URL.Path != "/api/auth/login" || heard[2].Header.Get("Authorization") != "Bearer new" {
		t.Errorf("%d requests, the last with %q", len(heard), heard[len(heard)-1].Header.Get("Authorization"))
	}
}

func TestConsistency_MergesConcurrentResponses(t *testing.T) {
	c := at(t, "http://shop.example", client.WithConsistency("ORDERS:17.STOCK:4"))
	for _, token := range []string{"ORDERS:12.PAYMENTS:3", "nonsense", "ORDERS:x.:9.", "STOCK:5", "ORDERS:17.PAYMENTS:3.STOCK:5"} {
		c.Observe(token)
	}
	if got := c.Consistency(); got != "ORDERS:17.PAYMENTS:3.STOCK:5" {
		t.Errorf("seen %q", got)
	}
	if got := c.Session().Consistency(); got != "" {
		t.Errorf("another user has seen %q", got)
	}
	without := c.Session(client.WithoutConsistency())
	without.Observe("ORDERS:1")
	if got := without.Consistency() + without.Session().Consistency(); got != "" {
		t.Errorf("kept %q", got)
	}
	c.ResetConsistency()
	if got := c.Consistency(); got != "" {
		t.Errorf("forgot all but %q", got)
	}
}

func TestDo_IsRaw(t *testing.T) {
	shop := &script{replies: []reply{{503, "away", http.Header{"Consistency-Token": {"S:2"}}}}}
	c := played(t, shop, client.WithConsistency("S:1"))
	res, err := c.Do(t.Context(), client.Request{Method: "POST", Path: "/api/orders?a=b", Header: http.Header{"Prefer": {"wait=1"}}, Body: []byte("{")})
	if err != nil || res.StatusCode != 503 || string(res.Body) != "away" || c.Consistency() != "S:2" {
		t.Errorf("%v %+v, seen %q", err, res, c.Consistency())
	}
	_, err = c.Do(t.Context(), client.Request{Method: "GET", Path: "/", Header: http.Header{"Authorization": {"mine"}, "Consistency-Token": {"S:9"}}})
	heard := shop.requests()
	first, second := heard[0].Header, heard[1].Header
	if err != nil || first.Get("Authorization") != "Bearer a1" || first.Get("Consistency-Token") != "S:1" || first.Get("Content-Type") != "application/json" ||
		first.Get("Idempotency-Key") != "" || heard[0].URL.RawQuery != "a=b" {
		t.Errorf("%v, sent %v", err, first)
	}
	if second.Get("Authorization") != "mine" || second.Get("Consistency-Token") != "S:9" || second.Get("Content-Type") != "" {
		t.Errorf("sent %v", second)
	}
}
