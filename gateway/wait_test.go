package gateway_test

import (
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"lonja/events/query"
	"lonja/gateway"
	"lonja/kit/errs"
	"lonja/kit/eventlog"
)

// playsOrder plays one order that is placed, and then as step says.
func (f *testShop) playsOrder(step *atomic.Int64, views ...query.OrderView) (asked <-chan query.Order) {
	queries := make(chan query.Order, 100)
	f.fake("commands.orders.place", func(*nats.Msg) any {
		return receipt{entity: "ord_1", position: "ORDERS:1", body: query.OrderView{ID: "ord_1", Status: query.Placed}}
	})
	f.fake("queries.orders.order", func(m *nats.Msg) any {
		var q query.Order
		_ = json.Unmarshal(m.Data, &q)
		view := views[step.Load()] // before the test hears of the query, and goes on
		queries <- q
		return view
	})
	return queries
}

// Whoever waits holds nothing in orders: they ask once, and again when they hear
// that something changed.
func TestWait_QueriesAgainOnAnnouncement(t *testing.T) {
	shop := open(t)
	var step atomic.Int64
	asked := shop.playsOrder(&step, query.OrderView{Status: query.Placed}, query.OrderView{Status: query.AwaitingPayment},
		query.OrderView{Status: query.AwaitingPayment, Payment: &query.OrderPayment{URL: "/pay"}})
	answered := make(chan *response, 1)
	go func() {
		answered <- shop.do("POST", "/api/orders", oneLamp, "Authorization", shop.ana(), "Prefer", "wait=30")
	}()
	for i := range 3 {
		if q := <-asked; q.Await != 0 {
			t.Errorf("it waits in the service: %+v", q)
		}
		if i < 2 {
			step.Add(1)
			shop.tells(uint64(i + 2))
		}
	}
	var order query.OrderView
	(<-answered).expect(201, &order)
	if order.Payment == nil || order.Payment.URL != "/pay" {
		t.Errorf("answered %+v, before it says where to pay", order)
	}
}

// News that get lost cost seconds, and nothing else.
func TestWait_PollsWithoutAnnouncement(t *testing.T) {
	shop := open(t)
	var step atomic.Int64
	asked := shop.playsOrder(&step, query.OrderView{Status: query.Placed}, query.OrderView{Status: query.Cancelled})
	answered := make(chan *response, 1)
	go func() {
		answered <- shop.do("POST", "/api/orders", oneLamp, "Authorization", shop.ana(), "Prefer", "wait=30")
	}()
	<-asked
	step.Add(1) // and nobody tells
	var order query.OrderView
	if (<-answered).expect(201, &order); order.Status != query.Cancelled {
		t.Errorf("after all the time %+v", order)
	}
}

// A gateway that was cut off from NATS may have missed news.
func TestStream_MissesNothingWhileNATSIsDown(t *testing.T) {
	shop := open(t)
	var paid atomic.Bool
	shop.fake("queries.orders.statuses", func(*nats.Msg) any {
		if paid.Load() {
			return changes[:3]
		}
		return changes[:2]
	})
	lines := follow(t.Context(), t, shop.server.URL+"/api/orders/ord_1/stream", shop.ana())
	until(t, lines, `"awaiting_payment"`)
	paid.Store(true) // and nobody tells
	began := time.Now()
	if err := shop.Conn.ForceReconnect(); err != nil {
		t.Fatal(err)
	}
	until(t, lines, `"paid"`)
	if took := time.Since(began); took > 25*time.Second {
		t.Errorf("noticed only after %v", took)
	}
}

// More than may wait are refused at once, and have ordered nothing; a place that
// is given up can be taken.
func TestWait_IsBounded(t *testing.T) {
	shop := openWith(t, gateway.Config{MaxFollowers: 2, MaxWaiting: 1})
	var placed atomic.Int64
	shop.fake("commands.orders.place", func(*nats.Msg) any {
		placed.Add(1)
		return receipt{entity: "ord_1", position: "ORDERS:3", body: query.OrderView{ID: "ord_1", Status: query.Placed}}
	})
	asked := make(chan struct{}, 10)
	shop.fake("queries.orders.order", func(*nats.Msg) any { asked <- struct{}{}; return query.OrderView{Status: query.Placed} })
	shop.fake("queries.orders.statuses", func(*nats.Msg) any { return changes[:1] })

	var waiting sync.WaitGroup
	waiting.Go(func() {
		shop.do("POST", "/api/orders", oneLamp, "Authorization", shop.ana(), "Prefer", "wait=3").expect(201, nil)
	})
	<-asked
	r := shop.do("POST", "/api/orders", oneLamp, "Authorization", shop.ana(), "Prefer", "wait=3")
	if r.expectProblem(503, errs.Unavailable, ""); r.Header.Get("Retry-After") == "" || placed.Load() != 1 {
		t.Errorf("refused %v, %d orders placed", r.Header, placed.Load())
	}
	shop.do("POST", "/api/orders", oneLamp, "Authorization", shop.ana()).expect(201, nil) // without waiting
	waiting.Wait()
	shop.do("POST", "/api/orders", oneLamp, "Authorization", shop.ana(), "Prefer", "wait=1").expect(201, nil)

	var followers []io.Closer
	for range 2 {
		followers = append(followers, shop.opens("ord_1", 200).Body)
	}
	if r := shop.opens("ord_1", 503); r.Header.Get("Retry-After") == "" {
		t.Errorf("refused %v", r.Header)
	}
	metrics := string(shop.do("GET", "/metrics", nil).expect(200, nil).body)
	for _, want := range []string{"\nlonja_followers 2\n", "\nlonja_followers_refused_total 1\n", "\nlonja_waiting 0\n", "\nlonja_waiting_refused_total 1\n"} {
		if !strings.Contains(metrics, want) {
			t.Errorf("metrics lack %q", want)
		}
	}
	followers[0].Close()
	eventually(t, "a place that was given up", func() bool {
		return strings.Contains(string(shop.do("GET", "/metrics", nil).expect(200, nil).body), "\nlonja_followers 1\n")
	})
	shop.opens("ord_1", 200)
	if _, err := gateway.New(gateway.Config{Client: shop.Client, MaxFollowers: -1}); err == nil {
		t.Error("less than nobody may follow")
	}
}

// opens begins to follow an order.
func (f *testShop) opens(order string, status int) *http.Response {
	f.t.Helper()
	req, err := http.NewRequestWithContext(f.t.Context(), "GET", f.server.URL+"/api/orders/"+order+"/stream", nil)
	if err != nil {
		f.t.Fatal(err)
	}
	req.Header.Set("Authorization", f.ana())
	r, err := (&http.Client{Transport: f.checked}).Do(req)
	if err != nil {
		f.t.Fatal(err)
	}
	f.t.Cleanup(func() { r.Body.Close() })
	if r.StatusCode != status {
		f.t.Fatalf("following: want %d, got %d", status, r.StatusCode)
	}
	return r
}

func eventually(t *testing.T, what string, is func() bool) {
	t.Helper()
	for deadline, tick := time.After(20*time.Second), time.Tick(10*time.Millisecond); !is(); {
		select {
		case <-tick:
		case <-deadline:
			t.Fatalf("never: %s", what)
		}
	}
}

// Heartbeats and the events of other services cost no question; a change of the
// status costs one, however often it is told.
func TestStream_QueriesOnlyOnStatusChange(t *testing.T) {
	shop := open(t)
	asked := make(chan string, 100)
	var known atomic.Int64
	known.Store(1)
	shop.fake("queries.orders.statuses", func(m *nats.Msg) any { asked <- header(m).After; return changes[:known.Load()] })
	lines := follow(t.Context(), t, shop.server.URL+"/api/orders/ord_1/stream", shop.ana())
	until(t, lines, `"placed"`)
	if after := <-asked; after != "" {
		t.Errorf("asked after %q", after)
	}
	shop.tells(3) // what is seen already
	if err := shop.Conn.Publish("changes.orders.ord_1", []byte(eventlog.Position("INVENTORY", 77))); err != nil {
		t.Fatal(err)
	}
	known.Store(2)
	shop.tells(5)
	until(t, lines, `"awaiting_payment"`)
	shop.tells(5)
	known.Store(4)
	shop.tells(12)
	until(t, lines, `"cancelled"`)
	if a, b, more := <-asked, <-asked, len(asked); !strings.HasSuffix(a, "ORDERS:5") || b != "ORDERS:12" || more != 0 {
		t.Errorf("asked after %q and %q, and %d times more", a, b, more)
	}
}
