package orders

import (
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"lonja/events"
	"lonja/events/query"
	"lonja/kit/eventlog"
	"lonja/kit/projection"
	"lonja/kit/service"
	"lonja/shop/shoptest"
)

// orderHistory draws a legal history of an order.
func orderHistory(t *rapid.T, id events.OrderID) []events.Event {
	recorded, status := []events.Event{anasOrder(id)}, query.Placed
	for len(legal[status]) > 0 && rapid.IntRange(0, 5).Draw(t, "goes on") > 0 {
		status = rapid.SampledFrom(legal[status]).Draw(t, "next")
		recorded = append(recorded, map[string]events.Event{
			query.AwaitingPayment: awaiting(id), query.Paid: paid(id), query.Shipped: shipped(id), query.Delivered: delivered(id),
			query.Cancelled: events.OrderCancelled{OrderID: id, Reason: `said "no"`},
		}[status])
	}
	return recorded
}

// paymentHistory draws a history of an order's payment, and the status that it ends in.
func paymentHistory(t *rapid.T, id events.OrderID) (recorded []events.Event, status string) {
	pay := events.PaymentFor(id)
	if rapid.Bool().Draw(t, "payment's id is another") {
		pay = "pay_other"
	}
	later := []struct {
		event  events.Event
		status string
	}{
		{events.PaymentRequested{PaymentID: pay, OrderID: id, Amount: gbp(1617), Provider: `"sandbox"`, URL: `/pay?a="b"&c=<d>`, ExpiresAt: noon}, query.PaymentPending},
		{events.PaymentCaptured{PaymentID: pay, OrderID: id, Amount: gbp(1617)}, query.PaymentCaptured},
		{events.PaymentRefunded{PaymentID: pay, OrderID: id, Amount: gbp(1617)}, query.PaymentRefunded},
	}
	other := rapid.SampledFrom([]struct {
		event  events.Event
		status string
	}{
		{events.PaymentDeclined{PaymentID: pay, OrderID: id}, query.PaymentDeclined},
		{events.PaymentExpired{PaymentID: pay, OrderID: id}, query.PaymentExpired},
		{events.PaymentVoided{PaymentID: pay, OrderID: id}, query.PaymentVoided},
		later[1],
	}).Draw(t, "then")
	later[1] = other
	if other.status != query.PaymentCaptured {
		later = later[:2]
	}
	for _, l := range later[:rapid.IntRange(0, len(later)).Draw(t, "of its payment")] {
		recorded, status = append(recorded, l.event), l.status
	}
	return recorded, status
}

// However the events of different streams interleave, the view shows an order as its state
// is, and its payment as it was recorded.
func TestOrdersView_AgreesWithTheState(t *testing.T) {
	shop := shoptest.Start(t, quiet())
	n := 0
	rapid.Check(t, func(rt *rapid.T) {
		n++
		// Ids that the shop makes are stored in fewer bytes than others.
		id := events.OrderID(fmt.Sprintf(rapid.SampledFrom([]string{"ord_%d", "ord_%032x", "ord_%032X", "ord_%031x", "%032x", "pay_%032x"}).Draw(rt, "id"), n<<8|0xab))
		orders := orderHistory(rt, id)
		payments, paymentStatus := paymentHistory(rt, id)
		stock := []events.Event{
			events.StockReserved{Location: events.MainLocation, OrderID: id, Lines: items("clock", 1), ExpiresAt: noon},
			events.StockReturned{Location: events.MainLocation, OrderID: id, Lines: items("clock", 1)},
		}
		all, last := len(orders)+len(payments)+len(stock), map[string]string{}
		streams := map[string][]events.Event{"ORDERS": orders, "PAYMENTS": payments, "INVENTORY": stock}
		for remaining := all; remaining > 0; {
			stream := rapid.SampledFrom([]string{"ORDERS", "PAYMENTS", "INVENTORY"}).Draw(rt, "stream")
			if queue := streams[stream]; len(queue) > 0 {
				last[stream] = shop.Record(stream, queue[0])
				streams[stream], remaining = queue[1:], remaining-1
			}
		}
		after := strings.Trim(last["ORDERS"]+"."+last["PAYMENTS"]+"."+last["INVENTORY"], ".")

		var timeline []query.TimelineEntry
		shop.Get(query.OrderTimeline{OrderID: id}, ana, after, &timeline)
		if len(timeline) != all || timeline[0].Type != events.Type(events.OrderPlaced{}) {
			rt.Fatalf("%d events were recorded, and the timeline is %+v", all, timeline)
		}
		var want order
		for _, f := range timeline {
			if f.Stream == "ORDERS" {
				event, err := events.Decode(f.Type, f.Data)
				if err != nil {
					rt.Fatal(err)
				}
				want = evolve(want, event, f.Time)
			}
		}
		if paymentStatus != "" {
			want.Payment = &query.OrderPayment{ID: payments[0].(events.PaymentRequested).PaymentID, Provider: `"sandbox"`, Status: paymentStatus,
				Amount: gbp(1617), URL: `https://shop.example/pay?a="b"&c=<d>`}
		}
		if paymentStatus == query.PaymentRefunded {
			refunded := gbp(1617)
			want.Refunded = &refunded
		}
		var got query.OrderView
		shop.Get(query.Order{OrderID: id, Origin: "https://shop.example"}, ana, after, &got)
		if !reflect.DeepEqual(got, want.OrderView) {
			rt.Fatalf("the view shows\n%+v, the state is\n%+v", got, want)
		}
	})
}

// quiet returns the service without its reactions, for tests that record the events
// themselves.
func quiet() *service.Service {
	s := New(Config{})
	s.Reactions = nil
	return s
}

// The timeline is what the log holds, to the byte, and nothing else.
func TestTimeline_IsWhatTheLogHolds(t *testing.T) {
	shop := shoptest.Start(t, quiet())
	log := eventlog.New(shop.JS, shoptest.Codec)
	for _, id := range []events.OrderID{"ord_0198f3c27c1e7d50a4a20123456789ab", "ord_1"} {
		o := query.OrderView{ID: id, Total: gbp(1617)}
		var want []query.TimelineEntry
		var after []string
		for _, e := range []struct {
			stream string
			event  events.Event
		}{{"ORDERS", anasOrder(id)}, {"INVENTORY", reservedFor(id)}, {"ORDERS", awaiting(id)}, {"PAYMENTS", requestedFor(o)}, {"PAYMENTS", capturedFor(o)}, {"ORDERS", paid(id)}, {"INVENTORY", committedFor(id)}} {
			place := projection.ParseToken(shop.Record(e.stream, e.event))
			r, err := log.At(t.Context(), e.stream, place[e.stream])
			if err != nil {
				t.Fatal(err)
			}
			after = append(after, place.String())
			want = append(want, query.TimelineEntry{Stream: e.stream, Sequence: r.Sequence, Type: r.Type, Time: r.Time.UTC(), Actor: r.Actor.ID, EventID: r.ID, CausationID: r.Causation, Data: r.Data})
		}
		body, err := shop.Query(t.Context(), query.OrderTimeline{OrderID: id}, eventlog.Envelope{Actor: ana, After: strings.Join(after, ".")})
		if wanted, _ := json.Marshal(want); err != nil || string(body) != string(wanted) {
			t.Errorf("%s, %v, want %s", body, err, wanted)
		}
	}
}

func TestOrdersView_JSONIsThatOfOrderView(t *testing.T) {
	shop := shoptest.Start(t, quiet())
	shop.Record("ORDERS", anasOrder(anOrder))
	shop.Record("PAYMENTS", events.PaymentRequested{PaymentID: "pay_1", OrderID: anOrder, Amount: gbp(1617), Provider: "stripe", URL: "https://pay.example/1"})
	shop.Record("PAYMENTS", events.PaymentRefunded{PaymentID: "pay_1", OrderID: anOrder, Amount: gbp(17), RefundID: "ref_1", Partial: true})
	after := shop.Record("ORDERS", ended(anOrder)) + ".PAYMENTS:2"
	body, err := shop.Query(t.Context(), query.Order{OrderID: anOrder, Origin: "https://shop.example"}, eventlog.Envelope{Actor: ana, After: after})
	if err != nil {
		t.Fatal(err)
	}
	var shown query.OrderView
	if err := json.Unmarshal(body, &shown); err != nil {
		t.Fatal(err)
	}
	if shown.Payment == nil || shown.Payment.URL != "https://pay.example/1" {
		t.Fatalf("a full URL was changed: %+v", shown.Payment)
	}
	if shown.Refunded == nil || *shown.Refunded != gbp(17) || shown.Payment.Status != query.PaymentPartiallyRefunded {
		t.Fatalf("refunded in part: %s", body)
	}
	if again, err := json.Marshal(shown); err != nil || string(again) != string(body) {
		t.Fatalf("the answer is\n%s\nmarshalled (%v)\n%s", body, err, again)
	}
}

func TestPricesView_FollowsTheCatalogue(t *testing.T) {
	shop := shoptest.Start(t, New(Config{}))
	lantern := events.Product{SKU: "lantern", Name: "Lantern", Price: gbp(339)}
	dearer := lantern
	dearer.Name, dearer.Price = "Big lantern", gbp(400)

	after := shop.Record("CATALOG", events.ProductCreated{Product: lantern})
	if got := buys(t, shop, after); got != "Lantern 339" {
		t.Fatalf("a new product is sold as %s", got)
	}
	after = shop.Record("CATALOG", events.ProductChanged{Product: dearer})
	if got := buys(t, shop, after); got != "Big lantern 400" {
		t.Fatalf("a changed product is sold as %s", got)
	}
	after = shop.Record("CATALOG", events.ProductArchived{SKU: lantern.SKU})
	if got := buys(t, shop, after); got != "invalid: items[0].sku is not for sale" {
		t.Fatalf("an archived product is sold as %s", got)
	}
	after = shop.Record("CATALOG", events.ProductRestored{Product: lantern})
	if got := buys(t, shop, after); got != "Lantern 339" {
		t.Fatalf("a restored product is sold as %s", got)
	}
}

// buys orders a lantern and returns its name and total, or the error.
func buys(t *testing.T, shop *shoptest.Shop, after string) string {
	t.Helper()
	reply, err := shop.Send(t.Context(), placeOne("lantern"), eventlog.Envelope{Actor: ana, After: after})
	if err != nil {
		return err.Error()
	}
	var placed query.OrderView
	if err := json.Unmarshal(reply.Body, &placed); err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("%s %d", placed.Items[0].Name, placed.Total.Amount)
}

func TestTimeline_KeepsTheOrderOfEachStream(t *testing.T) {
	at := func(second int) time.Time { return noon.Add(time.Duration(second) * time.Second) }
	entry := func(stream string, seq uint64, second int, event events.Event) query.TimelineEntry {
		return query.TimelineEntry{Stream: stream, Sequence: seq, Time: at(second), Type: events.Type(event)}
	}
	got := mergeStreams([]query.TimelineEntry{ // stream by stream, as they are read
		entry("INVENTORY", 7, -1, events.StockReserved{}), // by a slow clock
		entry("INVENTORY", 9, 6, events.StockCommitted{}),
		entry("ORDERS", 1, 0, events.OrderPlaced{}),
		entry("ORDERS", 2, 3, events.OrderAwaitingPayment{}),
		entry("ORDERS", 5, 2, events.OrderPaid{}), // by another replica's clock
		entry("PAYMENTS", 4, 1, events.PaymentRequested{}),
		entry("PAYMENTS", 6, 3, events.PaymentCaptured{}),
	})
	var line []string
	for _, f := range got {
		line = append(line, fmt.Sprintf("%s:%d", f.Stream, f.Sequence))
	}
	if want := "ORDERS:1 INVENTORY:7 PAYMENTS:4 ORDERS:2 ORDERS:5 PAYMENTS:6 INVENTORY:9"; strings.Join(line, " ") != want {
		t.Fatalf("the timeline is %v, want %s", line, want)
	}
}
