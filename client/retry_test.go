package client_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"lonja/client"
)

// reply is an answer that a test plays; status 0 breaks the connection.
type reply struct {
	status int
	body   string
	header http.Header
}

// script plays replies one after another, and notes the requests.
type script struct {
	mu      sync.Mutex
	replies []reply
	heard   []*http.Request
}

func (s *script) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	next := s.replies[min(len(s.heard), len(s.replies)-1)]
	s.heard = append(s.heard, r)
	if next.status == 0 {
		panic(http.ErrAbortHandler)
	}
	for name, values := range next.header {
		w.Header()[name] = values
	}
	w.WriteHeader(next.status)
	fmt.Fprint(w, next.body)
}

func (s *script) requests() []*http.Request {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.heard)
}

// played is a client of a shop that is played, which pauses for moments only.
func played(t *testing.T, shop http.Handler, options ...client.Option) *client.Client {
	t.Helper()
	server := httptest.NewServer(shop)
	t.Cleanup(server.Close)
	return at(t, server.URL, append([]client.Option{client.WithBackoff(time.Millisecond, time.Millisecond), client.WithAccessToken("a1")}, options...)...)
}

func TestRetries(t *testing.T) {
	const refused = `{"status":422,"code":"invalid","detail":"must be at least 1","field":"items[0].quantity"}`
	for name, c := range map[string]struct {
		replies []reply
		tries   int
		err     string
	}{
		"answered at once":         {[]reply{{201, "{}", nil}}, 1, ""},
		"away for a while":         {[]reply{{503, "", nil}, {502, "<html>", nil}, {504, "", nil}, {201, "{}", nil}}, 4, ""},
		"too fast":                 {[]reply{{429, "", nil}, {201, "{}", nil}}, 2, ""},
		"the connection breaks":    {[]reply{{0, "", nil}, {0, "", nil}, {201, "{}", nil}}, 3, ""},
		"refused":                  {[]reply{{422, refused, nil}}, 1, "lonja: POST /api/orders: 422 invalid: items[0].quantity: must be at least 1"},
		"refused after being away": {[]reply{{503, "", nil}, {409, `{"code":"conflict"}`, nil}}, 2, "lonja: POST /api/orders: 409 conflict"},
		"broken":                   {[]reply{{500, "oops", nil}}, 1, "lonja: POST /api/orders: 500 Internal Server Error"},
		"away for too long":        {[]reply{{503, `{"code":"unavailable","detail":"no"}`, nil}}, 5, "lonja: POST /api/orders: 503 unavailable: no"},
		"not so soon":              {[]reply{{429, "", http.Header{"Retry-After": {"3600"}}}}, 1, "lonja: POST /api/orders: 429 Too Many Requests"},
		"redirected":               {[]reply{{307, "", http.Header{"Location": {"/elsewhere"}}}}, 1, "lonja: POST /api/orders: 307 Temporary Redirect"},
		"not an order":             {[]reply{{201, "[]", nil}}, 1, "lonja: POST /api/orders: decode the response: json: cannot unmarshal array into Go value of type client.Order"},
	} {
		t.Run(name, func(t *testing.T) {
			shop := &script{replies: c.replies}
			_, err := played(t, shop).PlaceOrder(t.Context(), lamps("A", 1))
			if got := fmt.Sprint(err); got != c.err && !(err == nil && c.err == "") {
				t.Errorf("error %q; want %q", got, c.err)
			}
			heard := shop.requests()
			key := heard[0].Header.Get("Idempotency-Key")
			if len(heard) != c.tries || len(key) < 20 || slices.ContainsFunc(heard, func(r *http.Request) bool { return r.Header.Get("Idempotency-Key") != key }) {
				t.Errorf("tried %d times, first with key %q; want %d times", len(heard), key, c.tries)
			}
		})
	}
}

func TestRetries_NotIfTheEffectCouldDouble(t *testing.T) {
	for _, status := range []int{0, 503} {
		shop := &script{replies: []reply{{status, "", nil}, {200, "{}", nil}}}
		if _, err := played(t, shop).RetryDeadLetter(t.Context(), 1); err == nil || len(shop.requests()) != 1 {
			t.Errorf("%d: %v after %d tries", status, err, len(shop.requests()))
		}
	}
	shop := &script{replies: []reply{{429, "", nil}, {200, "{}", nil}}}
	if _, err := played(t, shop).RetryDeadLetter(t.Context(), 1); err != nil || len(shop.requests()) != 2 {
		t.Errorf("a letter that nobody looked at: %v after %d tries", err, len(shop.requests()))
	}
	var dialled int
	refusing := through(func(*http.Request) (*http.Response, error) { dialled++; return nil, dialError() })
	c := at(t, "http://shop.example", refusing, client.WithBackoff(time.Millisecond, time.Millisecond))
	if _, err := c.RetryDeadLetter(t.Context(), 1); err == nil || dialled != 5 {
		t.Errorf("a shop that nobody reaches: %v after %d tries", err, dialled)
	}
	probed := &script{replies: []reply{{503, `{"ready":false,"services":{"orders":{"status":"missing"}}}`, nil}}}
	found, err := played(t, probed).Ready(t.Context())
	if err != nil || found.Ready || found.Services["orders"].Status != client.ServiceMissing || len(probed.requests()) != 1 {
		t.Errorf("%+v, %v after %d tries", found, err, len(probed.requests()))
	}
}

func TestKey_IsNewForEachCall(t *testing.T) {
	shop := &script{replies: []reply{{201, "{}", nil}}}
	c := played(t, shop)
	for _, options := range [][]client.CallOption{nil, nil, {client.Key("mine")}} {
		if _, err := c.PlaceOrder(t.Context(), lamps("A", 1), options...); err != nil {
			t.Fatal(err)
		}
	}
	var keys []string
	for _, r := range shop.requests() {
		keys = append(keys, r.Header.Get("Idempotency-Key"))
	}
	if keys[0] == keys[1] || keys[2] != "mine" {
		t.Errorf("keys %q", keys)
	}
	if _, err := c.GetOrder(t.Context(), "ord_1", client.Key("mine")); err == nil || !strings.Contains(err.Error(), "does not accept the option Key") {
		t.Errorf("a key where none is taken: %v", err)
	}
	if _, err := c.GetOrder(t.Context(), "ord_1", client.Wait(time.Second)); err == nil || !strings.Contains(err.Error(), "does not accept the option Wait") {
		t.Errorf("a wait where none is taken: %v", err)
	}
	for _, err := range c.FollowOrder(t.Context(), "ord_1", client.Key("mine")) {
		if err == nil || !strings.Contains(err.Error(), "does not accept the option Key") {
			t.Errorf("a key where none is taken: %v", err)
		}
	}
	if n := len(shop.requests()); n != 3 {
		t.Errorf("%d requests were sent; want 3", n)
	}
}

// Pauses double, the half of each is random, and Retry-After makes them longer.
func TestRetries_Pauses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var began []time.Time
		after := map[int]string{2: "7"}
		c := at(t, "http://shop.example", client.WithBackoff(100*time.Millisecond, 300*time.Millisecond), client.WithRetries(4),
			through(func(*http.Request) (*http.Response, error) {
				began = append(began, time.Now())
				return respond(503, after[len(began)-1]), nil
			}))
		if _, err := c.GetProduct(t.Context(), "A"); err == nil || len(began) != 5 {
			t.Fatalf("%v after %d tries", err, len(began))
		}
		for i, most := range []time.Duration{100, 200, 7150, 300} {
			least := most / 2
			if most == 7150 {
				least = 7075
			}
			if got := began[i+1].Sub(began[i]); got < least*time.Millisecond || got > most*time.Millisecond {
				t.Errorf("pause %d is %v; want %d to %d ms", i, got, least, most)
			}
		}
	})
}

func TestContext_EndsEverything(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tries := 0
		c := at(t, "http://shop.example", client.WithBackoff(time.Hour, time.Hour), through(func(*http.Request) (*http.Response, error) {
			tries++
			return respond(503, ""), nil
		}))
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(time.Minute, cancel)
		began := time.Now()
		_, err := c.GetProduct(ctx, "A")
		if !errors.Is(err, context.Canceled) || time.Since(began) != time.Minute || tries != 1 {
			t.Errorf("%v after %v and %d tries", err, time.Since(began), tries)
		}
		// A pause that outlives the deadline is not begun.
		ctx, cancel = context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		began = time.Now()
		_, err = c.GetProduct(ctx, "A")
		var p *client.Problem
		if !errors.Is(err, context.DeadlineExceeded) || !errors.As(err, &p) || p.Status != 503 || time.Since(began) != 0 {
			t.Errorf("%v after %v", err, time.Since(began))
		}
		// One try does not take for ever either.
		c = c.Session(client.WithTimeout(time.Second), client.WithRetries(1), client.WithBackoff(0, 0),
			through(func(r *http.Request) (*http.Response, error) { <-r.Context().Done(); return nil, r.Context().Err() }))
		began = time.Now()
		if _, err = c.GetProduct(t.Context(), "A"); !errors.Is(err, context.DeadlineExceeded) || time.Since(began) != 2*time.Second {
			t.Errorf("%v after %v; want two tries of a second", err, time.Since(began))
		}
	})
}

func TestPaths_EscapeIDs(t *testing.T) {
	shop := &script{replies: []reply{{404, `{"code":"not_found"}`, nil}}}
	c := played(t, shop)
	for id, want := range map[string]string{"a/b": "/api/products/a%2Fb", "": "/api/products/%20", "..": "/api/products/%20", "a?b#c": "/api/products/a%3Fb%23c"} {
		if _, err := c.GetProduct(t.Context(), id); !errors.Is(err, client.NotFound) {
			t.Errorf("%q: %v", id, err)
		}
		heard := shop.requests()
		if got := heard[len(heard)-1].RequestURI; got != want {
			t.Errorf("%q is asked for at %s; want %s", id, got, want)
		}
	}
}

func TestNew_ChecksTheBaseURL(t *testing.T) {
	for _, bad := range []string{"", "shop.example", "ftp://shop.example", "http://", "http://me@shop.example", "http://shop.example?a=b", "http://shop.example/#a", "http://[::1"} {
		if _, err := client.New(bad); err == nil {
			t.Errorf("%q is taken for a shop", bad)
		}
	}
	shop := &script{replies: []reply{{200, "{}", nil}}}
	server := httptest.NewServer(shop)
	defer server.Close()
	if _, err := at(t, server.URL+"/below/").GetProduct(t.Context(), "A"); err != nil || shop.requests()[0].URL.Path != "/below/api/products/A" {
		t.Errorf("%v, asked for %s", err, shop.requests()[0].URL)
	}
}
