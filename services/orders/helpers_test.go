package orders

import (
	"encoding/json"
	"testing"
	"time"

	"lonja/events"
	"lonja/events/command"
	"lonja/events/query"
	"lonja/kit/bus"
	"lonja/kit/eventlog"
	"lonja/shop/shoptest"
)

const origin = "https://shop.example"

func placeOne(sku events.SKU) command.PlaceOrder {
	return command.PlaceOrder{Items: []command.OrderLine{{SKU: sku, Quantity: 1}}}
}

// sells records a product in the catalogue and returns the position.
func sells(shop *shoptest.Shop, sku events.SKU, price int64) string {
	return shop.Record("CATALOG", events.ProductCreated{Product: events.Product{SKU: sku, Name: "A " + string(sku), Price: gbp(price)}})
}

// places orders one piece, under a command id or "" for a new one.
func places(t testing.TB, shop *shoptest.Shop, as eventlog.Actor, sku events.SKU, id, after string) (query.OrderView, bus.Reply) {
	t.Helper()
	reply, err := shop.Send(t.Context(), placeOne(sku), eventlog.Envelope{ID: id, Actor: as, After: after})
	if err != nil {
		t.Fatal(err)
	}
	var o query.OrderView
	if err := json.Unmarshal(reply.Body, &o); err != nil {
		t.Fatal(err)
	}
	return o, reply
}

func reservedFor(id events.OrderID) events.Event {
	return events.StockReserved{Location: events.MainLocation, OrderID: id, Lines: items("lantern", 1), ExpiresAt: time.Now().Add(time.Hour)}
}

func requestedFor(o query.OrderView) events.Event {
	return events.PaymentRequested{PaymentID: events.PaymentFor(o.ID), OrderID: o.ID, Amount: o.Total,
		Provider: "sandbox", URL: "/sandbox/payments/1", ExpiresAt: time.Now().Add(time.Hour)}
}

func committedFor(id events.OrderID) events.Event {
	return events.StockCommitted{Location: events.MainLocation, OrderID: id, Lines: items("lantern", 1)}
}

func capturedFor(o query.OrderView) events.Event {
	return events.PaymentCaptured{PaymentID: events.PaymentFor(o.ID), OrderID: o.ID, Amount: o.Total}
}

// reaches waits until an order has had a status, and returns the order as it is then.
func reaches(shop *shoptest.Shop, id events.OrderID, as eventlog.Actor, status string) (o query.OrderView) {
	for at, there := uint64(0), false; !there; {
		var steps []query.StatusChange
		shop.Get(query.OrderStatuses{OrderID: id, After: at, Await: 5_000}, as, "", &steps)
		there = len(steps) == 0 // timed out: the caller checks the status
		for _, s := range steps {
			at, there = s.Sequence, there || s.Status == status
		}
		// Another replica may answer next; the position makes it as recent.
		shop.Get(query.Order{OrderID: id, Origin: origin}, as, eventlog.Position("ORDERS", at), &o)
	}
	return o
}
