package gateway_test

import (
	"bytes"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/nats-io/nats.go"

	"lonja/events/query"
	"lonja/gateway"
	"lonja/kit/errs"
)

// A browser's EventSource sends no Authorization: it is given a URL. Any gateway
// takes it; it opens that one stream and nothing else.
func TestTicket_BrowserFollowsAnOrder(t *testing.T) {
	shop := openWhole(t)
	seen := shop.stocks("lantern", 200, 10)
	ana, _ := shop.registers("ana")
	ben, _ := shop.registers("ben")
	places := func() string {
		return shop.do("POST", "/api/orders", `{"items":[{"sku":"lantern","quantity":1}]}`, "Authorization", ana,
			"Consistency-Token", seen, "Prefer", "wait=10").expect(201, nil).Header.Get("Location")
	}
	order, other := places(), places()
	var given struct {
		URL       string `json:"url"`
		ExpiresIn int    `json:"expires_in"`
	}
	shop.do("POST", order+"/stream/tickets", nil, "Authorization", ana).expect(201, &given)
	path, ours := strings.CutPrefix(given.URL, shop.server.URL)
	if !ours || given.ExpiresIn < 30 || given.ExpiresIn > 90 || strings.Contains(given.URL, strings.TrimPrefix(ana, "Bearer ")) {
		t.Fatalf("given %+v", given)
	}
	shop.do("POST", order+"/stream/tickets", nil, "Authorization", ben).expectProblem(404, errs.NotFound, "")
	shop.do("POST", order+"/stream/tickets", nil).expectProblem(401, errs.Unauthenticated, "")

	ticket := path[strings.Index(path, "=")+1:]
	shop.do("GET", other+"/stream?ticket="+ticket, nil).expectProblem(401, errs.Unauthenticated, "")
	shop.do("GET", order+"?ticket="+ticket, nil).expectProblem(401, errs.Unauthenticated, "")
	shop.do("GET", order, nil, "Authorization", "Bearer "+ticket).expectProblem(401, errs.Unauthenticated, "")
	shop.do("GET", order+"/stream?ticket="+strings.TrimPrefix(ana, "Bearer "), nil).expectProblem(401, errs.Unauthenticated, "")
	shop.do("GET", order+"/stream?ticket="+ticket[:len(ticket)-8]+"AAAAAAAA", nil).expectProblem(401, errs.Unauthenticated, "")

	shop.serves(0) // another gateway
	lines := follow(t.Context(), t, shop.server.URL+path, "")
	until(t, lines, `"awaiting_payment"`)
	shop.do("PATCH", order, `{"status":"cancelled"}`, "Authorization", ana).expect(200, nil)
	until(t, lines, `"cancelled"`)
	for lines.Scan() {
		if lines.Text() != "" {
			t.Errorf("after the end: %q", lines.Text())
		}
	}
}

// When a stream has ended, a browser comes again with the last id that it saw:
// 204 tells it not to, 401 that its URL is too old.
func TestTicket_NoReconnectAfterTheEnd(t *testing.T) {
	var logged lines
	shop := openWith(t, gateway.Config{Logger: slog.New(slog.NewTextHandler(&logged, &slog.HandlerOptions{Level: slog.LevelDebug}))})
	shop.playsStatuses(10)
	ticket := func(expires time.Duration) string {
		return shop.sign(jwt.SigningMethodEdDSA, shop.key, keyID, jwt.MapClaims{"iss": "lonja/stream", "sub": "usr_ana", "roles": []string{"customer"},
			"order": "ord_1", "pos": 7, "until": time.Now().Add(10 * time.Minute).Unix(), "exp": time.Now().Add(expires).Unix()})
	}
	good, old := ticket(time.Minute), ticket(-time.Minute)
	for last, want := range map[string]int{"12": 204, "13": 204, "9": 200, "": 200} {
		r := shop.do("GET", "/api/orders/ord_1/stream?ticket="+good, nil, "Last-Event-ID", last).expect(want, nil)
		if ends := strings.Contains(string(r.body), `"cancelled"`); ends != (want == 200) {
			t.Errorf("after %q: %s", last, r.body)
		}
		shop.do("GET", "/api/orders/ord_1/stream", nil, "Authorization", shop.ana(), "Last-Event-ID", last).expect(want, nil)
	}
	shop.do("GET", "/api/orders/ord_1/stream?ticket="+old, nil).expectProblem(401, errs.Unauthenticated, "")
	// What is refused as our fault is logged, without the ticket.
	shop.stopFake("queries.orders.statuses")
	shop.do("GET", "/api/orders/ord_1/stream?ticket="+good, nil).expectProblem(503, errs.Unavailable, "")
	if text := logged.String(); !strings.Contains(text, "/stream") || strings.Contains(text, good) || strings.Contains(text, old) {
		t.Errorf("logged %s", text)
	}
	// An order that goes on is followed, whatever was seen of it.
	shop.fake("queries.orders.statuses", func(*nats.Msg) any { return []query.StatusChange{changes[0]} })
	until(t, follow(t.Context(), t, shop.server.URL+"/api/orders/ord_1/stream?ticket="+good, ""), `"placed"`)
}

// lines is a log that may be read while it is written.
type lines struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}
