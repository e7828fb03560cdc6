package orders

import (
	"context"
	"encoding/json"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"lonja/events"
	"lonja/events/query"
	"lonja/kit/bus"
	"lonja/kit/errs"
	"lonja/kit/eventlog"
	"lonja/shop/shoptest"
)

// asking sends a query and returns once the request is on NATS. The answer comes later on
// the channel.
func asking[T any](t *testing.T, shop *shoptest.Shop, q interface{ QueryName() string }, as eventlog.Actor) <-chan T {
	t.Helper()
	watching := shop.Connect()
	seen, err := watching.SubscribeSync("queries." + q.QueryName())
	if err == nil {
		err = watching.Flush()
	}
	if err != nil {
		t.Fatal(err)
	}
	answered := make(chan T, 1)
	go func() {
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
		defer cancel()
		var out T
		body, err := shop.Query(ctx, q, eventlog.Envelope{Actor: as})
		if err == nil {
			err = json.Unmarshal(body, &out)
		}
		if err != nil {
			t.Errorf("%+v: %v", q, err)
		}
		answered <- out
	}()
	if _, err := seen.NextMsg(10 * time.Second); err != nil {
		t.Fatal(err)
	}
	return answered
}

func TestQueries_WaitForAnOrderNotYetPlaced(t *testing.T) {
	shop := shoptest.Start(t, New(Config{}))
	after := sells(shop, "lantern", 339)
	id := eventlog.NewID()
	orderID := events.OrderID(eventlog.NewEntityID("ord_", id))

	answer := asking[query.OrderView](t, shop, query.Order{OrderID: orderID, Await: 15_000}, ana)
	steps := asking[[]query.StatusChange](t, shop, query.OrderStatuses{OrderID: orderID, Await: 15_000}, ana)
	order, _ := places(t, shop, ana, "lantern", id, after)
	if got := <-steps; order.ID != orderID || len(got) == 0 || got[0].Status != query.Placed {
		t.Fatalf("followed %s: %+v", orderID, got)
	}
	// It waits until there is a URL to pay at.
	shop.Record("INVENTORY", reservedFor(orderID))
	reaches(shop, orderID, ana, query.AwaitingPayment)
	shop.Record("PAYMENTS", requestedFor(order))
	if got := <-answer; got.Status != query.AwaitingPayment || got.Payment == nil {
		t.Fatalf("waited for %+v", got)
	}
	// When nothing changes in time, the answer is the order as it is.
	waits, _ := places(t, shop, ana, "lantern", "", after)
	shop.Get(query.Order{OrderID: waits.ID, Await: 50}, ana, "", &order)
	if order.ID != waits.ID || order.Status != query.Placed {
		t.Fatalf("waited in vain for %+v", order)
	}
}

// Gateways of an older version wait inside the service, and anyone may ask for a position
// that is not recorded yet. However many do, other queries are answered meanwhile. A query
// beyond the limit is rejected at once.
func TestQueries_WaitingHoldsUpNoOthers(t *testing.T) {
	shop := shoptest.Start(t, quiet())
	after := shop.Record("ORDERS", anasOrder(anOrder))
	shop.Get(query.Order{OrderID: anOrder}, ana, after, new(json.RawMessage))

	wait := func(n int, q any, name string, env eventlog.Envelope) (answers *nats.Subscription) {
		t.Helper()
		inbox := shop.Conn.NewRespInbox()
		answers, err := shop.Conn.SubscribeSync(inbox)
		if err != nil {
			t.Fatal(err)
		}
		data, _ := json.Marshal(q)
		for range n {
			if err := shop.Conn.PublishMsg(&nats.Msg{Subject: "queries." + name, Reply: inbox, Header: env.Header(), Data: data}); err != nil {
				t.Fatal(err)
			}
		}
		return answers
	}
	wait(1_100, query.Order{OrderID: anOrder, Await: 30_000}, "orders.order", eventlog.Envelope{Actor: ana})
	wait(1_100, query.OrderStatuses{OrderID: anOrder, After: 1, Await: 30_000}, "orders.statuses", eventlog.Envelope{Actor: ana})
	// No query waits for a position that is not recorded.
	ahead := wait(1_100, query.OrderTimeline{OrderID: anOrder}, "orders.timeline", eventlog.Envelope{Actor: ana, After: "ORDERS:1000000"})
	for _, q := range []interface{ QueryName() string }{query.Order{OrderID: anOrder}, query.OrderStatuses{OrderID: anOrder}, query.OrderTimeline{OrderID: anOrder}} {
		shop.Get(q, ana, "", new(json.RawMessage))
	}
	for range 1_100 {
		if m, err := ahead.NextMsg(10 * time.Second); err != nil || m.Header.Get(bus.HeaderErrorCode) != string(errs.Invalid) {
			t.Fatalf("ahead of the log: %v %+v", err, m)
		}
	}

	many := wait(2_600, query.Order{OrderID: anOrder, Await: 30_000}, "orders.order", eventlog.Envelope{Actor: ana})
	rejected, err := many.NextMsg(10 * time.Second)
	if err != nil || rejected.Header.Get(bus.HeaderErrorCode) != string(errs.Unavailable) {
		t.Fatalf("one too many: %v %+v", err, rejected)
	}
	shop.Get(query.Order{OrderID: anOrder}, ana, "", new(json.RawMessage))
}

func TestQueries_StoppingServiceAnswersThoseThatWait(t *testing.T) {
	shop := shoptest.Start(t)
	stop := shop.Run(quiet(), "a", t.TempDir())
	after := shop.Record("ORDERS", anasOrder(anOrder))
	var order query.OrderView
	shop.Get(query.Order{OrderID: anOrder}, ana, after, &order)

	answer := asking[query.OrderView](t, shop, query.Order{OrderID: anOrder, Await: 30_000}, ana)
	began := time.Now()
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	if got := <-answer; got.Status != query.Placed || time.Since(began) > 5*time.Second {
		t.Fatalf("after %s: %+v", time.Since(began), got)
	}
}
