package gateway_test

import (
	"context"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"lonja/events/query"
	"lonja/gateway"
	"lonja/kit/bus"
	"lonja/kit/errs"
	"lonja/kit/httpapi"
	"lonja/kit/revocation"
)

// serves serves a gateway as the program does, until stop is called; served
// tells how that ended. Requests go to it from then on.
func (f *testShop) serves(drain time.Duration) (stop func(), served <-chan error) {
	f.t.Helper()
	handler, err := gateway.New(gateway.Config{Client: f.Client, PublicURL: "https://shop.example", Sandbox: true, Revoked: revocation.New(f.Conn), DeadLetters: bus.NewDeadLetterQueue(f.JS), Streams: f.Streams})
	if err != nil {
		f.t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		f.t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	f.t.Cleanup(stop)
	ended := make(chan error, 1)
	go func() { ended <- httpapi.Serve(ctx, l, handler, drain) }()
	f.server.URL = "http://" + l.Addr().String()
	return stop, ended
}

// The gateway stops within seconds: streams and long waits end at once, what
// else is under way is finished, an order that was placed is not lost.
func TestStop_FinishesRequestsInProgress(t *testing.T) {
	shop := open(t)
	placed := query.OrderView{ID: "ord_1", Status: query.Placed}
	awaiting, reading, answer := make(chan struct{}, 10), make(chan struct{}), make(chan struct{})
	shop.fake("commands.orders.place", func(*nats.Msg) any { return receipt{entity: "ord_1", position: "ORDERS:3", body: placed} })
	shop.playsStatuses(1)
	shop.silent("queries.orders.order", func() { awaiting <- struct{}{} })
	shop.fake("queries.catalog.product", func(*nats.Msg) any {
		close(reading)
		<-answer
		return query.ProductView{}
	})
	stop, served := shop.serves(0)
	changes := changes // the last one ends the stream: leave it out
	shop.stopFake("queries.orders.statuses")
	shop.fake("queries.orders.statuses", func(*nats.Msg) any { return changes[:1] })

	lines := follow(t.Context(), t, shop.server.URL+"/api/orders/ord_1/stream", shop.ana())
	until(t, lines, `"placed"`)
	answers := make(chan *response, 2)
	go func() {
		answers <- shop.do("POST", "/api/orders", `{"items":[{"sku":"A","quantity":1}]}`, "Authorization", shop.ana(), "Prefer", "wait=30")
	}()
	<-awaiting
	go func() { answers <- shop.do("GET", "/api/products/A", nil) }()
	<-reading

	began := time.Now()
	stop()
	order := (<-answers).expect(201, nil) // though it was to wait for 30 seconds
	if !strings.Contains(string(order.body), "ord_1") {
		t.Errorf("order %s", order.body)
	}
	for lines.Scan() { // to the end of the stream
	}
	close(answer)
	(<-answers).expect(200, nil)
	if err := <-served; err != nil {
		t.Error(err)
	}
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("it took %v", took)
	}
}

// While it drains, a gateway answers everything, also what comes on a connection
// that was idle, and sends everybody away with the answer.
func TestStop_DrainAnswersAndClosesConnections(t *testing.T) {
	const drain = 2 * time.Second
	shop := open(t)
	shop.fake("commands.payments.settle", func(*nats.Msg) any {
		return receipt{entity: "pay_1", position: "PAYMENTS:4", body: query.PaymentView{ID: "pay_1"}}
	})
	shop.fake("queries.orders.statuses", func(*nats.Msg) any { return changes[:1] })
	stop, served := shop.serves(drain)

	r := shop.do("GET", "/readyz/gateway", nil).expect(200, nil)
	if r.Close {
		t.Error("a gateway that serves closes a connection")
	}
	began := time.Now()
	stop()
	shop.do("GET", "/readyz/gateway", nil).expectProblem(503, errs.Unavailable, "")
	paid := shop.do("POST", "/sandbox/payments/pay_1", `{"outcome":"pay"}`).expect(200, nil)
	stream := shop.do("GET", "/api/orders/ord_1/stream", nil, "Authorization", shop.ana()).expect(200, nil)
	nothing := shop.do("GET", "/api/nothing", nil).expect(404, nil)
	if !paid.Close || !stream.Close || !nothing.Close {
		t.Errorf("connections go on: %v %v %v", paid.Header, stream.Header, nothing.Header)
	}
	if got := strings.Join(statusesOf(string(stream.body)), " "); got != "placed" {
		t.Errorf("followed %q", got)
	}
	if err := <-served; err != nil {
		t.Error(err)
	}
	if took := time.Since(began); took < drain || took > drain+2*time.Second {
		t.Errorf("it stopped after %v", took)
	}
	if conn, err := net.Dial("tcp", strings.TrimPrefix(shop.server.URL, "http://")); err == nil {
		conn.Close()
		t.Error("it still listens")
	}
}

// A gateway says that it cannot serve when it has lost NATS, and only then:
// what becomes of the services is none of its probe's business.
func TestGatewayReadiness_IgnoresServices(t *testing.T) {
	shop := openWith(t, gateway.Config{Services: []string{"orders"}})
	shop.do("GET", "/readyz", nil).expect(503, nil)
	shop.do("GET", "/readyz/gateway", nil).expect(200, nil)
	lost := shop.Connect()
	lost.Close()
	// JetStream is heard on a connection of its own, without which nobody who is
	// signed in is served.
	for _, shop.Client = range []*bus.Client{bus.NewClientWith(lost, shop.Conn), bus.NewClientWith(shop.Conn, lost)} {
		shop.serves(0)
		shop.do("GET", "/healthz", nil).expect(200, nil)
		shop.do("GET", "/readyz/gateway", nil).expectProblem(503, errs.Unavailable, "")
	}
}
