package orders

import (
	"maps"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"lonja/events"
	"lonja/events/command"
	"lonja/events/query"
	"lonja/kit/decider"
	"lonja/kit/eventlog"
)

// legal are the moves that an order may make.
var legal = map[string][]string{
	unknown:               {query.Placed},
	query.Placed:          {query.AwaitingPayment, query.Cancelled},
	query.AwaitingPayment: {query.Paid, query.Cancelled},
	query.Paid:            {query.Shipped, query.Cancelled},
	query.Shipped:         {query.Delivered},
}

// With any commands and events, in any order and any number of times, an order makes legal
// moves only, is paid at most once, and its cancellation records correctly whether it was.
func TestOrder_MakesOnlyLegalMoves(t *testing.T) {
	everything := maps.Clone(reactions)
	maps.Copy(everything, commands)
	everything["place"] = func(o order, m decider.Meta) (events.Event, error) {
		return place(o, command.PlaceOrder{Items: lines(items("lantern", 2, "clock", 1, "lantern", 1))}, forSale, m)
	}
	everything["place for nothing"] = func(o order, m decider.Meta) (events.Event, error) {
		return place(o, command.PlaceOrder{Items: lines(items("gift", 2))}, forSale, m)
	}
	names := slices.Sorted(maps.Keys(everything))
	actors := []eventlog.Actor{ana, bea, rita, root, nobody}

	rapid.Check(t, func(t *rapid.T) {
		var o order
		payments := 0
		for range rapid.IntRange(1, 40).Draw(t, "steps") {
			m := decider.Meta{EntityID: string(anOrder), Actor: rapid.SampledFrom(actors).Draw(t, "actor"), Now: noon}
			event, err := everything[rapid.SampledFrom(names).Draw(t, "step")](o, m)
			if err != nil || event == nil {
				continue
			}
			next := evolve(o, event, noon)
			paidAtOnce := o.Status == query.Placed && next.Status == query.Paid && o.Total == gbp(0)
			if !paidAtOnce && !slices.Contains(legal[o.Status], next.Status) {
				t.Fatalf("an order moved from %q to %q by %+v", o.Status, next.Status, event)
			}
			if err := event.Check(); err != nil || event.EntityID() != string(anOrder) {
				t.Fatalf("%+v is invalid: %v", event, err)
			}
			if next.Status == query.Paid {
				payments++
			}
			if e, ok := event.(events.OrderCancelled); ok && e.WasPaid != (payments > 0) {
				t.Fatalf("paid %d times, and %+v", payments, e)
			}
			o = next
		}
		if payments > 1 {
			t.Fatalf("paid %d times", payments)
		}
	})
}

// However events overtake each other, however often they arrive, and however old the view is
// that ship reads: an order whose goods inventory refused is never shipped, and it is
// cancelled once the event has arrived.
func TestOrder_NeverShipsRefusedGoods(t *testing.T) {
	refused, shipped := 0, 0
	rapid.Check(t, func(t *rapid.T) {
		o := given(anasOrder(anOrder))
		stock := ""                // the status of the goods
		var log, arriving []string // inventory's events, and those of them that orders reacts to
		record := func(status, event string) {
			if stock, log = status, append(log, event); reactions[event] != nil {
				arriving = append(arriving, event)
			}
		}
		after := func(decide decision) {
			event, err := decide(o, decider.Meta{EntityID: string(anOrder), Actor: rita, Now: noon})
			if err == nil && event != nil {
				o = evolve(o, event, noon)
			}
		}
		seen := 0 // how much of the log the view has read
		steps := map[string]func(){
			"stock": func() {
				paid := o.Status == query.Paid || o.Status == query.Shipped
				switch {
				case stock == "":
					record("reserved", "reserved")
				case stock == "reserved" && paid, stock == "lapsed" && paid && rapid.Bool().Draw(t, "still there"):
					record("committed", "committed")
				case stock == "lapsed" && paid:
					record("refused", "refused")
				case stock == "reserved":
					record("lapsed", "released: expired")
				}
			},
			"arrive": func() {
				if len(arriving) > 0 {
					after(reactions[rapid.SampledFrom(arriving).Draw(t, "event")])
				}
			},
			"pay":  func() { after(reactions["captured"]) },
			"view": func() { seen = rapid.IntRange(seen, len(log)).Draw(t, "seen") },
			"ship": func() {
				goods := committed(slices.Contains(log[:seen], "committed"))
				after(func(o order, m decider.Meta) (events.Event, error) {
					return ship(o, command.ShipOrder{OrderID: anOrder}, goods, m)
				})
			},
		}
		names := slices.Sorted(maps.Keys(steps))
		for range rapid.IntRange(1, 60).Draw(t, "steps") {
			steps[rapid.SampledFrom(names).Draw(t, "step")]()
			if stock == "refused" && o.Status == query.Shipped {
				t.Fatalf("shipped although inventory recorded %v", log)
			}
		}
		for _, event := range arriving { // in the end, each has arrived
			after(reactions[event])
		}
		if stock == "refused" && o.Status != query.Cancelled {
			t.Fatalf("inventory recorded %v, and the order is %s", log, o.Status)
		}
		if stock == "refused" {
			refused++
		}
		if o.Status == query.Shipped {
			shipped++
		}
	})
	if refused == 0 || shipped == 0 {
		t.Fatalf("%d were refused and %d shipped: the test proves nothing", refused, shipped)
	}
}

func TestPlace_SumsAreRight(t *testing.T) {
	skus := []events.SKU{"lantern", "clock", "gift"}
	rapid.Check(t, func(t *rapid.T) {
		wanted := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) events.Quantity {
			return events.Quantity{SKU: rapid.SampledFrom(skus).Draw(t, "sku"), Quantity: rapid.Int64Range(1, events.MaxQuantity).Draw(t, "quantity")}
		}), 1, 8).Draw(t, "items")
		event, err := placing(order{}, forSale, ana, wanted)
		var pieces, pence int64
		for _, w := range wanted {
			pieces += w.Quantity
			pence += w.Quantity * forSale[w.SKU].price.Amount
		}
		if tooMuch := pieces > events.MaxQuantity || pence > events.MaxAmount; tooMuch != (err != nil) {
			t.Fatalf("%d pieces for %d: %v", pieces, pence, err)
		}
		if err != nil {
			return
		}
		placed := event.(events.OrderPlaced)
		if placed.TotalItems != pieces || placed.Total != gbp(pence) || len(placed.Items) != len(wanted) {
			t.Fatalf("%d pieces for %d: %+v", pieces, pence, placed)
		}
		var taken int64
		for _, line := range events.PerSKU(events.LinesOf(placed.Items)) {
			taken += line.Quantity
		}
		if taken != pieces {
			t.Fatalf("%d pieces ordered, %d taken", pieces, taken)
		}
	})
}
