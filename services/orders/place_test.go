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

var onOffer = offers{
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

// lines orders them at whatever their price is.
func lines(q []events.Quantity) (all []command.OrderLine) {
	for _, wanted := range q {
		all = append(all, command.OrderLine{SKU: wanted.SKU, Quantity: wanted.Quantity})
	}
	return all
}

func placing(o order, known offers, a eventlog.Actor, q []events.Quantity) (events.Event, error) {
	return place(o, command.PlaceOrder{Items: lines(q)}, known, decider.Meta{EntityID: string(anOrder), Actor: a, Now: noon})
}

func TestAnOrderIsPlacedAtThePricesOnOffer(t *testing.T) {
	got, err := placing(order{}, onOffer, ana, items("lantern", 2, "clock", 1, "lantern", 1))
	if want := events.Event(anasOrder(anOrder)); err != nil || !reflect.DeepEqual(got, want) {
		t.Fatalf("got %+v %v\nwant %+v", got, err, want)
	}
	if err := got.Check(); err != nil {
		t.Fatalf("such a fact cannot be recorded: %v", err)
	}
}

func TestAnOrderIsRefused(t *testing.T) {
	for _, c := range []struct {
		name  string
		given order
		who   eventlog.Actor
		items []events.Quantity
		code  errs.Code
		field string
	}{
		{"a stranger", order{}, nobody, items("clock", 1), errs.Unauthenticated, ""},
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
		_, err := placing(c.given, onOffer, c.who, c.items)
		r, ok := errs.As(err)
		if !ok || r.Code != c.code || r.Field != c.field {
			t.Errorf("%s: %v, want %s %s", c.name, err, c.code, c.field)
		}
	}
}

func TestAnOrderIsPlacedAtThePriceThatTheCustomerSaw(t *testing.T) {
	sees := func(m events.Money) *events.Money { return &m }
	for _, c := range []struct {
		name    string
		seen    *events.Money
		changed bool     // since it was left
		want    []string // what a refusal says; placed when there is none
	}{
		{"none", nil, false, nil},
		{"this one", sees(gbp(600)), false, nil},
		{"a lower one", sees(gbp(595)), false, []string{"6.00 GBP", "5.95 GBP"}},
		{"a higher one", sees(gbp(605)), false, []string{"6.00 GBP", "6.05 GBP"}},
		{"in another currency", sees(events.Money{Amount: 600, Currency: "EUR"}), false, []string{"6.00 GBP", "6.00 EUR"}},
		{"none, and the price was set after it was left", nil, true, []string{"6.00 GBP"}},
		{"this one, and the price was set after it was left", sees(gbp(600)), true, nil},
		{"a lower one, and the price was set after it was left", sees(gbp(595)), true, []string{"6.00 GBP", "5.95 GBP"}},
	} {
		cmd := command.PlaceOrder{Items: append(lines(items("gift", 1)), command.OrderLine{SKU: "clock", Quantity: 2, UnitPrice: c.seen})}
		known := maps.Clone(onOffer)
		known["clock"] = offer{"Clock", gbp(600), c.changed}
		event, err := place(order{}, cmd, known, decider.Meta{EntityID: string(anOrder), Actor: ana, Now: noon})
		if c.want == nil {
			if placed, ok := event.(events.OrderPlaced); err != nil || !ok || placed.Total != gbp(1200) {
				t.Errorf("%s: %+v %v", c.name, event, err)
			}
			continue
		}
		r, _ := errs.As(err)
		if r == nil || r.Code != errs.Conflict || r.Field != "items[1].unit_price" {
			t.Errorf("%s: %+v %v", c.name, event, err)
			continue
		}
		for _, price := range c.want {
			if !strings.Contains(r.Detail, price) {
				t.Errorf("%s: %q does not say %s", c.name, r.Detail, price)
			}
		}
	}
}

func TestAnOrderMustFitInAMessageWithAllFactsAboutIt(t *testing.T) {
	wanted := make([]events.Quantity, command.MaxItems)
	for i := range wanted {
		wanted[i] = events.Quantity{SKU: "p", Quantity: 1}
	}
	for name, want := range map[string]string{strings.Repeat("x", 150): "placed", strings.Repeat("<", 200): "invalid"} {
		if got := outcome(placing(order{}, offers{"p": {name, gbp(1), false}}, ana, wanted)); got != want {
			t.Errorf("%d lines of %.5s…: %s, want %s", len(wanted), name, got, want)
		}
	}
	for i := range wanted {
		wanted[i].SKU = events.SKU(strings.Repeat("s", events.MaxToken))
	}
	longest := offers{wanted[0].SKU: {strings.Repeat("<", 200), gbp(events.MaxAmount / alwaysFits), false}}
	got, err := placing(order{}, longest, ana, wanted[:alwaysFits])
	if err != nil {
		t.Fatal(err)
	}
	if data, err := events.Encode(got); err != nil || len(data) > maxPlaced {
		t.Fatalf("%d lines can take %d bytes, more than %d (%v)", alwaysFits, len(data), maxPlaced, err)
	}
}
