package orders

import (
	"maps"
	"reflect"
	"strings"
	"testing"

	"lonja/events"
	"lonja/events/command"
	"lonja/kit/decider"
	"lonja/kit/errs"
	"lonja/kit/eventlog"
)

var forSale = quotes{
	"lantern": {"Lantern", gbp(339), false},
	"clock":   {"Clock", gbp(600), false},
	"yacht":   {"Yacht", gbp(events.MaxAmount), false},
	"gift":    {"Gift", gbp(0), false},
	"lamp":    {"Lampe", events.Money{Amount: 500, Currency: "EUR"}, false},
}

func items(pairs ...any) (q []events.Quantity) {
	for i := 0; i < len(pairs); i += 2 {
		q = append(q, events.Quantity{SKU: events.SKU(pairs[i].(string)), Quantity: int64(pairs[i+1].(int))})
	}
	return q
}

// lines returns the order lines of quantities, without a price that the customer saw.
func lines(q []events.Quantity) (all []command.OrderLine) {
	for _, wanted := range q {
		all = append(all, command.OrderLine{SKU: wanted.SKU, Quantity: wanted.Quantity})
	}
	return all
}

func placing(o order, found quotes, a eventlog.Actor, q []events.Quantity) (events.Event, error) {
	return place(o, command.PlaceOrder{Items: lines(q)}, found, decider.Meta{EntityID: string(anOrder), Actor: a, Now: noon})
}

func TestPlace_TakesPresentPrices(t *testing.T) {
	got, err := placing(order{}, forSale, ana, items("lantern", 2, "clock", 1, "lantern", 1))
	if want := events.Event(anasOrder(anOrder)); err != nil || !reflect.DeepEqual(got, want) {
		t.Fatalf("got %+v %v\nwant %+v", got, err, want)
	}
	if err := got.Check(); err != nil {
		t.Fatalf("the event is invalid: %v", err)
	}
}

func TestPlace_RejectsWithCodeAndField(t *testing.T) {
	for _, c := range []struct {
		name  string
		given order
		who   eventlog.Actor
		items []events.Quantity
		code  errs.Code
		field string
	}{
		{"no actor", order{}, nobody, items("clock", 1), errs.Unauthenticated, ""},
		{"roles without an id", order{}, roleful, items("clock", 1), errs.Unauthenticated, ""},
		{"an id that is none", order{}, eventlog.Actor{ID: "a.>", Roles: ana.Roles}, items("clock", 1), errs.Unauthenticated, ""},
		{"no customer", order{}, eventlog.Actor{ID: "service:payments"}, items("clock", 1), errs.Unauthenticated, ""},
		{"an account without roles", order{}, eventlog.Actor{ID: "usr_eve"}, items("clock", 1), errs.Forbidden, ""},
		{"an unknown sku", order{}, ana, items("clock", 1, "nothing", 1), errs.Invalid, "items[1].sku"},
		{"two currencies", order{}, ana, items("clock", 1, "clock", 1, "lamp", 1), errs.Invalid, "items[2].sku"},
		{"a line beyond money", order{}, ana, items("yacht", 2), errs.Invalid, "items[0].quantity"},
		{"a total beyond money", order{}, ana, items("yacht", 1, "clock", 1), errs.Invalid, "items[1].quantity"},
		{"too many pieces", order{}, ana, items("gift", events.MaxQuantity, "gift", 1), errs.Invalid, "items[1].quantity"},
		{"one that is there", everyStatus[1], ana, items("clock", 1), errs.Conflict, ""},
	} {
		_, err := placing(c.given, forSale, c.who, c.items)
		e, ok := errs.As(err)
		if !ok || e.Code != c.code || e.Field != c.field {
			t.Errorf("%s: %v, want %s %s", c.name, err, c.code, c.field)
		}
	}
}

func TestPlace_AtThePriceThatTheCustomerSaw(t *testing.T) {
	sees := func(m events.Money) *events.Money { return &m }
	for _, c := range []struct {
		name    string
		seen    *events.Money
		changed bool     // since the order was deferred
		want    []string // what the error contains; nil when the order is placed
	}{
		{"none", nil, false, nil},
		{"this one", sees(gbp(600)), false, nil},
		{"a lower one", sees(gbp(595)), false, []string{"6.00 GBP", "5.95 GBP"}},
		{"a higher one", sees(gbp(605)), false, []string{"6.00 GBP", "6.05 GBP"}},
		{"in another currency", sees(events.Money{Amount: 600, Currency: "EUR"}), false, []string{"6.00 GBP", "6.00 EUR"}},
		{"none, and the price was set after it was deferred", nil, true, []string{"6.00 GBP"}},
		{"this one, and the price was set after it was deferred", sees(gbp(600)), true, nil},
		{"a lower one, and the price was set after it was deferred", sees(gbp(595)), true, []string{"6.00 GBP", "5.95 GBP"}},
	} {
		cmd := command.PlaceOrder{Items: append(lines(items("gift", 1)), command.OrderLine{SKU: "clock", Quantity: 2, UnitPrice: c.seen})}
		found := maps.Clone(forSale)
		found["clock"] = quote{"Clock", gbp(600), c.changed}
		event, err := place(order{}, cmd, found, decider.Meta{EntityID: string(anOrder), Actor: ana, Now: noon})
		if c.want == nil {
			if placed, ok := event.(events.OrderPlaced); err != nil || !ok || placed.Total != gbp(1200) {
				t.Errorf("%s: %+v %v", c.name, event, err)
			}
			continue
		}
		e, _ := errs.As(err)
		if e == nil || e.Code != errs.Conflict || e.Field != "items[1].unit_price" {
			t.Errorf("%s: %+v %v", c.name, event, err)
			continue
		}
		for _, price := range c.want {
			if !strings.Contains(e.Detail, price) {
				t.Errorf("%s: %q does not contain %s", c.name, e.Detail, price)
			}
		}
	}
}

func TestPlace_OrderFitsInOneMessage(t *testing.T) {
	wanted := make([]events.Quantity, command.MaxItems)
	for i := range wanted {
		wanted[i] = events.Quantity{SKU: "p", Quantity: 1}
	}
	for name, want := range map[string]string{strings.Repeat("x", 150): "placed", strings.Repeat("<", 200): "invalid"} {
		if got := outcome(placing(order{}, quotes{"p": {name, gbp(1), false}}, ana, wanted)); got != want {
			t.Errorf("%d lines of %.5s…: %s, want %s", len(wanted), name, got, want)
		}
	}
	for i := range wanted {
		wanted[i].SKU = events.SKU(strings.Repeat("s", events.MaxToken))
	}
	longest := quotes{wanted[0].SKU: {strings.Repeat("<", 200), gbp(events.MaxAmount / alwaysFits), false}}
	got, err := placing(order{}, longest, ana, wanted[:alwaysFits])
	if err != nil {
		t.Fatal(err)
	}
	if data, err := events.Encode(got); err != nil || len(data) > maxPlaced {
		t.Fatalf("%d lines take %d bytes, more than %d (%v)", alwaysFits, len(data), maxPlaced, err)
	}
}
