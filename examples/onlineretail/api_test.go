package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

func testAPI(t *testing.T, shop http.HandlerFunc) *api {
	server := httptest.NewServer(shop)
	t.Cleanup(server.Close)
	a := newAPI(server.URL, 4)
	a.pause = time.Millisecond
	return a
}

func TestRetries(t *testing.T) {
	type reply struct {
		status int // 0 breaks the connection
		body   string
	}
	refused := `{"status":422,"code":"invalid","detail":"must be at least 1","field":"items[0].quantity"}`
	for name, c := range map[string]struct {
		replies []reply
		tries   int
		err     string
	}{
		"answered at once":         {[]reply{{201, "{}"}}, 1, ""},
		"away for a while":         {[]reply{{503, ""}, {502, "<html>"}, {504, ""}, {201, "{}"}}, 4, ""},
		"too fast":                 {[]reply{{429, ""}, {201, "{}"}}, 2, ""},
		"the connection breaks":    {[]reply{{0, ""}, {0, ""}, {201, "{}"}}, 3, ""},
		"refused":                  {[]reply{{422, refused}}, 1, "POST /api/orders: 422 invalid: items[0].quantity: must be at least 1"},
		"refused after being away": {[]reply{{503, ""}, {409, `{"code":"conflict"}`}}, 2, "POST /api/orders: 409 conflict"},
		"broken":                   {[]reply{{500, "oops"}}, 1, "POST /api/orders: 500 unknown: Internal Server Error"},
	} {
		t.Run(name, func(t *testing.T) {
			var keys []string
			var mu sync.Mutex
			a := testAPI(t, func(w http.ResponseWriter, r *http.Request) {
				mu.Lock()
				defer mu.Unlock()
				reply := c.replies[len(keys)]
				keys = append(keys, r.Header.Get("Idempotency-Key"))
				if reply.status == 0 {
					panic(http.ErrAbortHandler)
				}
				w.WriteHeader(reply.status)
				fmt.Fprint(w, reply.body)
			})
			_, err := a.do(t.Context(), request{method: "POST", path: "/api/orders", key: "k1", body: map[string]int{"a": 1}})
			if got := fmt.Sprint(err); got != c.err && !(err == nil && c.err == "") {
				t.Errorf("error %q; want %q", got, c.err)
			}
			mu.Lock()
			defer mu.Unlock()
			if len(keys) != c.tries || slices.ContainsFunc(keys, func(k string) bool { return k != "k1" }) {
				t.Errorf("tried with keys %q; want %d times k1", keys, c.tries)
			}
		})
	}
}

func TestGivingUp(t *testing.T) {
	var tries atomic.Int32
	a := testAPI(t, func(w http.ResponseWriter, r *http.Request) {
		tries.Add(1)
		w.WriteHeader(http.StatusServiceUnavailable)
	})
	a.patience = 20 * time.Millisecond
	if _, err := a.do(t.Context(), request{method: "GET", path: "/"}); !refusedWith(err, 503) || tries.Load() < 2 {
		t.Errorf("after %d tries: %v", tries.Load(), err)
	}
	tries.Store(0)
	if _, err := a.do(t.Context(), request{method: "GET", path: "/", once: true}); !refusedWith(err, 503) || tries.Load() != 1 {
		t.Errorf("after %d tries: %v; want one try", tries.Load(), err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	a.pause, a.patience = time.Hour, time.Hour
	time.AfterFunc(20*time.Millisecond, cancel)
	if _, err := a.do(ctx, request{method: "GET", path: "/"}); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}

// authority is a shop that only hands out tokens and greets who has the
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
	case r.URL.Path != "/hello":
		a.serial++
		fmt.Fprintf(w, `{"access_token":"a%d","refresh_token":"r%d","expires_in":%d}`, a.serial, a.serial, a.lifetime)
	case r.Header.Get("Authorization") != fmt.Sprintf("Bearer a%d", a.serial):
		w.WriteHeader(http.StatusUnauthorized)
	default:
		a.tokens = append(a.tokens, r.Header.Get("Consistency-Token"))
		w.Header().Set("Consistency-Token", fmt.Sprintf("t%d", len(a.tokens)))
	}
}

func TestSessionKeepsItsTokens(t *testing.T) {
	const login, refresh, hello = "/api/auth/login", "/api/auth/refresh", "/hello"
	for name, c := range map[string]struct {
		lifetime int  // of an access token, in seconds
		changes  bool // all access tokens end between the two greetings
		forgets  bool // the refresh token has ended, too
		asked    []string
	}{
		"one login for all":          {900, false, false, []string{login, hello, hello}},
		"refreshed before the end":   {1, false, false, []string{login, hello, refresh, hello}},
		"refreshed when turned out":  {900, true, false, []string{login, hello, hello, refresh, hello}},
		"by password when forgotten": {900, true, true, []string{login, hello, hello, refresh, login, hello}},
	} {
		t.Run(name, func(t *testing.T) {
			shop := &authority{lifetime: c.lifetime, forgets: c.forgets}
			s := &session{api: testAPI(t, shop.ServeHTTP), email: "ana@example.com", password: "correct horse"}
			for range 2 {
				if _, err := s.send(t.Context(), request{method: "GET", path: hello}, nil); err != nil {
					t.Fatal(err)
				}
				if c.changes && shop.serial == 1 {
					shop.serial++
				}
			}
			if !slices.Equal(shop.asked, c.asked) {
				t.Errorf("asked %v; want %v", shop.asked, c.asked)
			}
			if !slices.Equal(shop.tokens, []string{"", "t1"}) {
				t.Errorf("sent consistency tokens %q", shop.tokens)
			}
		})
	}
}

func TestInParallel(t *testing.T) {
	var now, most, sum atomic.Int64
	all := make([]int64, 100)
	for i := range all {
		all[i] = int64(i)
	}
	err := inParallel(t.Context(), 4, all, func(_ context.Context, n int64) error {
		if under := now.Add(1); under > most.Load() {
			most.Store(under)
		}
		sum.Add(n)
		now.Add(-1)
		return nil
	})
	if err != nil || sum.Load() != 4950 || most.Load() > 4 {
		t.Errorf("sum %d, at most %d at a time, %v", sum.Load(), most.Load(), err)
	}
	wrong := errors.New("wrong")
	var after atomic.Int64
	err = inParallel(t.Context(), 1, all, func(_ context.Context, n int64) error {
		after.Add(1)
		if n == 2 {
			return wrong
		}
		return nil
	})
	if err != wrong || after.Load() > 4 {
		t.Errorf("%v after %d of 100", err, after.Load())
	}
}

func TestRefusal(t *testing.T) {
	for status, want := range map[int]bool{400: true, 401: false, 403: true, 404: true, 409: true, 422: true, 429: false, 500: false, 503: false} {
		err := fmt.Errorf("POST /: %w", &problem{Status: status})
		if got := refusal(err) != nil; got != want {
			t.Errorf("%d is a refusal: %v; want %v", status, got, want)
		}
	}
	if refusal(errors.New("connection reset")) != nil {
		t.Error("a broken connection is a refusal")
	}
}

func TestTakenForLater(t *testing.T) {
	for name, c := range map[string]struct{ outcome, body, err string }{
		"done":    {`{"status":"done","result":{"id":"ord_1"}}`, `{"id":"ord_1"}`, ""},
		"refused": {`{"status":"refused","problem":{"status":422,"code":"invalid","field":"items"}}`, "", "/api/commands/c1: 422 invalid: items"},
	} {
		t.Run(name, func(t *testing.T) {
			asked := 0
			s := &session{api: testAPI(t, func(w http.ResponseWriter, r *http.Request) {
				switch r.URL.Path {
				case "/api/orders":
					w.Header().Set("Location", "/api/commands/c1")
					w.WriteHeader(http.StatusAccepted)
					fmt.Fprint(w, `{"status":"pending"}`)
				case "/api/commands/c1":
					if asked++; asked < 3 {
						fmt.Fprint(w, `{"status":"pending"}`)
						return
					}
					fmt.Fprint(w, c.outcome)
				}
			})}
			s.keep(tokens{AccessToken: "a1", ExpiresIn: 900})
			got, err := s.send(t.Context(), request{method: "POST", path: "/api/orders", key: "k1"}, nil)
			if c.err != "" {
				if refusal(err) == nil || err.Error() != c.err {
					t.Errorf("error %v; want %s", err, c.err)
				}
				return
			}
			if err != nil || string(got.body) != c.body {
				t.Errorf("%s, %v; want %s", got.body, err, c.body)
			}
		})
	}
}
