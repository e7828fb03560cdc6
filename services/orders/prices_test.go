package orders

import (
	"context"
	"encoding/json"
	"testing"
	"time"

	"lonja/events"
	"lonja/events/command"
	"lonja/events/query"
	"lonja/kit/bus"
	"lonja/kit/errs"
	"lonja/kit/eventlog"
	"lonja/shop/shoptest"
)

func TestPlace_ChangedPriceIsRejected(t *testing.T) {
	shop := shoptest.Start(t, New(Config{}))
	lantern := events.Product{SKU: "lantern", Name: "Lantern", Price: gbp(339)}
	shop.Record("CATALOG", events.ProductCreated{Product: lantern})
	for price := int64(340); price < 350; price++ {
		lantern.Price = gbp(price)
		after := shop.Record("CATALOG", events.ProductChanged{Product: lantern})
		// A customer who saw the new price is charged that, however late the view is.
		var placed query.OrderView
		shop.Do(atPrice(price), ana, &placed)
		if placed.Total != gbp(price) {
			t.Fatalf("seen at %d, and placed %+v", price, placed)
		}
		_, err := shop.Send(t.Context(), atPrice(price-1), eventlog.Envelope{Actor: ana, After: after})
		if r, _ := errs.As(err); r == nil || r.Code != errs.Conflict || r.Field != "items[0].unit_price" {
			t.Fatalf("seen at %d, and %v", price-1, err)
		}
	}
	for _, field := range []string{"amount", "currency"} {
		wrong := atPrice(1)
		if field == "amount" {
			wrong.Items[0].UnitPrice.Amount = -1
		} else {
			wrong.Items[0].UnitPrice.Currency = "pounds"
		}
		if r, _ := errs.As(wrong.Check()); r == nil || r.Field != "items[0].unit_price."+field {
			t.Errorf("a wrong %s: %v", field, wrong.Check())
		}
	}
	// The JSON of a command without a price stays, byte by byte: its hash is recorded.
	if data, err := json.Marshal(placeOne("lantern")); err != nil || string(data) != `{"items":[{"sku":"lantern","quantity":1}]}` {
		t.Errorf("a command without a price is %s (%v)", data, err)
	}
}

func atPrice(seen int64) command.PlaceOrder {
	price := gbp(seen)
	return command.PlaceOrder{Items: []command.OrderLine{{SKU: "lantern", Quantity: 1, UnitPrice: &price}}}
}

// An order that is deferred while orders is down is placed at the price of that time, or not
// at all.
func TestPlace_DeferredOrderIsNotPlacedAtALaterPrice(t *testing.T) {
	shop, dir := shoptest.Start(t), t.TempDir()
	lantern := events.Product{SKU: "lantern", Name: "Lantern", Price: gbp(339)}
	changes := func(price int64) {
		lantern.Price = gbp(price)
		shop.Record("CATALOG", events.ProductChanged{Product: lantern})
	}
	deferCommand := func(id string, c command.PlaceOrder) {
		t.Helper()
		if err := shop.Defer(t.Context(), c, eventlog.Envelope{ID: id, Actor: ana}); err != nil {
			t.Fatal(err)
		}
	}
	outcome := func(id string) (o bus.Outcome) {
		t.Helper()
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		defer cancel()
		tick := time.NewTicker(10 * time.Millisecond)
		defer tick.Stop()
		for {
			o, _, err := shop.Outcome(ctx, id)
			if err != nil {
				t.Fatal(err)
			}
			if o.Status != bus.OutcomePending {
				return o
			}
			<-tick.C
		}
	}
	shop.Record("CATALOG", events.ProductCreated{Product: lantern})
	stop := shop.Run(New(Config{}), "a", dir)
	shop.Do(atPrice(339), ana, nil)
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	// While orders is down, the price changes and the order is deferred. When orders is
	// back, its view has not read the change yet.
	changes(400)
	deferCommand("in-time", placeOne("lantern"))
	stop = shop.Run(New(Config{}), "a", dir)
	var placed query.OrderView
	if o := outcome("in-time"); o.Status != bus.OutcomeDone || json.Unmarshal(o.Result, &placed) != nil || placed.Total != gbp(400) {
		t.Fatalf("deferred at 400: %s %s, %+v", o.Status, o.Result, o.Problem)
	}
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	deferCommand("too-early", placeOne("lantern"))
	deferCommand("foresight", atPrice(500))
	deferCommand("hindsight", atPrice(400))
	changes(500)
	shop.Run(New(Config{}), "a", dir)
	for id, status := range map[string]string{"too-early": bus.OutcomeRejected, "foresight": bus.OutcomeDone, "hindsight": bus.OutcomeRejected} {
		o := outcome(id)
		if o.Status != status || status == bus.OutcomeRejected && (o.Problem.Code != errs.Conflict || o.Problem.Field != "items[0].unit_price") {
			t.Errorf("%s: %s %s, %+v", id, o.Status, o.Result, o.Problem)
		}
	}
}
