package orders

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"lonja/events"
	"lonja/events/command"
	"lonja/events/query"
	"lonja/kit/decider"
	"lonja/kit/errs"
	"lonja/kit/eventlog"
)

var (
	ana     = eventlog.Actor{ID: "usr_ana", Roles: []string{events.Customer}}
	bea     = eventlog.Actor{ID: "usr_bea", Roles: []string{events.Customer}}
	rita    = eventlog.Actor{ID: "usr_rita", Roles: []string{events.Staff}}
	root    = eventlog.Actor{ID: "usr_root", Roles: []string{events.Admin}}
	nobody  = eventlog.Actor{}
	roleful = eventlog.Actor{Roles: []string{events.Admin}} // roles, and no id

	noon = time.Date(2025, 12, 24, 12, 0, 0, 0, time.UTC)
)

const anOrder events.OrderID = "ord_1"

func gbp(amount int64) events.Money { return events.Money{Amount: amount, Currency: "GBP"} }

// anasOrder is two lanterns, a clock and one more lantern.
func anasOrder(id events.OrderID) events.OrderPlaced {
	return events.OrderPlaced{OrderID: id, CustomerID: "usr_ana", Total: gbp(1617), TotalItems: 4, Items: []events.OrderItem{
		{SKU: "lantern", Name: "Lantern", Quantity: 2, UnitPrice: gbp(339), LineTotal: gbp(678)},
		{SKU: "clock", Name: "Clock", Quantity: 1, UnitPrice: gbp(600), LineTotal: gbp(600)},
		{SKU: "lantern", Name: "Lantern", Quantity: 1, UnitPrice: gbp(339), LineTotal: gbp(339)},
	}}
}

// The events that bring an order from one status to the next.
func awaiting(id events.OrderID) events.Event {
	return events.OrderAwaitingPayment{OrderID: id, Amount: gbp(1617)}
}
func paid(id events.OrderID) events.Event {
	return events.OrderPaid{OrderID: id, PaymentID: events.PaymentFor(id), Amount: gbp(1617),
		Lines: []events.Quantity{{SKU: "lantern", Quantity: 3}, {SKU: "clock", Quantity: 1}}}
}
func shipped(id events.OrderID) events.Event   { return events.OrderShipped{OrderID: id} }
func delivered(id events.OrderID) events.Event { return events.OrderDelivered{OrderID: id} }
func ended(id events.OrderID) events.Event {
	return events.OrderCancelled{OrderID: id, Reason: events.CancelledByStaff}
}

func given(recorded ...events.Event) (o order) {
	for i, e := range recorded {
		o = evolve(o, e, noon.Add(time.Duration(i)*time.Minute))
	}
	return o
}

// everyStatus holds an order in each status, in the order of the columns below.
var everyStatus = []order{
	given(),
	given(anasOrder(anOrder)),
	given(anasOrder(anOrder), awaiting(anOrder)),
	given(anasOrder(anOrder), awaiting(anOrder), paid(anOrder)),
	given(anasOrder(anOrder), awaiting(anOrder), paid(anOrder), shipped(anOrder)),
	given(anasOrder(anOrder), awaiting(anOrder), paid(anOrder), shipped(anOrder), delivered(anOrder)),
	given(anasOrder(anOrder), ended(anOrder)),
}

// outcome returns a decision as a word: the code of an error, "-" for no event, the reason
// of a cancellation ("+paid" when the order was paid), or the new status.
func outcome(event events.Event, err error) string {
	if err != nil {
		e, ok := errs.As(err)
		if !ok {
			return err.Error()
		}
		return string(e.Code)
	}
	switch e := event.(type) {
	case nil:
		return "-"
	case events.OrderCancelled:
		if e.WasPaid {
			return e.Reason + "+paid"
		}
		return e.Reason
	}
	return statusAfter(event)
}

func TestDecide_EveryCommandByEveryoneInEveryStatus(t *testing.T) {
	for _, row := range []struct{ who, command, outcomes string }{
		//                   unknown   placed    awaiting  paid          shipped   delivered cancelled
		{"ana", "cancel", "not_found customer  customer  customer+paid conflict  conflict  -"},
		{"rita", "cancel", "not_found staff     staff     staff+paid    conflict  conflict  -"},
		{"root", "cancel", "not_found staff     staff     staff+paid    conflict  conflict  -"},
		{"bea", "cancel", "not_found not_found not_found not_found     not_found not_found not_found"},

		{"rita", "ship", "not_found conflict  conflict  shipped       -         conflict  conflict"},
		{"root", "ship", "not_found conflict  conflict  shipped       -         conflict  conflict"},
		{"ana", "ship", "not_found forbidden forbidden forbidden     forbidden forbidden forbidden"},
		{"bea", "ship", "not_found not_found not_found not_found     not_found not_found not_found"},

		{"rita", "ship before the goods are committed", "not_found conflict  conflict  conflict      -         conflict  conflict"},
		{"bea", "ship before the goods are committed", "not_found not_found not_found not_found     not_found not_found not_found"},

		{"rita", "deliver", "not_found conflict  conflict  conflict      delivered -         conflict"},
		{"root", "deliver", "not_found conflict  conflict  conflict      delivered -         conflict"},
		{"ana", "deliver", "not_found forbidden forbidden forbidden     forbidden forbidden forbidden"},
		{"bea", "deliver", "not_found not_found not_found not_found     not_found not_found not_found"},
	} {
		for i, want := range strings.Fields(row.outcomes) {
			m := decider.Meta{EntityID: string(anOrder), Actor: people[row.who], Now: noon}
			if got := outcome(commands[row.command](everyStatus[i], m)); got != want {
				t.Errorf("%s wants to %s an order that is %q: %s, want %s", row.who, row.command, everyStatus[i].Status, got, want)
			}
		}
	}
	for name, decide := range commands {
		for _, o := range everyStatus {
			for _, a := range []eventlog.Actor{nobody, roleful} {
				if got := outcome(decide(o, decider.Meta{Actor: a})); got != "unauthenticated" {
					t.Errorf("a caller without an id may %s an order that is %q: %s", name, o.Status, got)
				}
			}
		}
	}
}

var people = map[string]eventlog.Actor{"ana": ana, "bea": bea, "rita": rita, "root": root}

type decision func(order, decider.Meta) (events.Event, error)

var commands = map[string]decision{
	"cancel": func(o order, m decider.Meta) (events.Event, error) {
		return cancel(o, command.CancelOrder{OrderID: anOrder}, m)
	},
	"ship": func(o order, m decider.Meta) (events.Event, error) {
		return ship(o, command.ShipOrder{OrderID: anOrder}, true, m)
	},
	"ship before the goods are committed": func(o order, m decider.Meta) (events.Event, error) {
		return ship(o, command.ShipOrder{OrderID: anOrder}, false, m)
	},
	"deliver": func(o order, m decider.Meta) (events.Event, error) {
		return deliver(o, command.DeliverOrder{OrderID: anOrder}, m)
	},
}

func TestCancel_StaffsOwnOrderIsCancelledByItsCustomer(t *testing.T) {
	placed := anasOrder(anOrder)
	placed.CustomerID = events.UserID(rita.ID)
	if got := outcome(commands["cancel"](given(placed), decider.Meta{Actor: rita})); got != events.CancelledByCustomer {
		t.Fatalf("cancelled for the reason %s", got)
	}
}

func TestReact_EveryEventInEveryStatus(t *testing.T) {
	for _, row := range []struct{ event, outcomes string }{
		//                   unknown placed             awaiting           paid              shipped delivered cancelled
		{"reserved", "-       awaiting_payment    -                   -                 -       -         -"},
		{"refused", "-       out_of_stock        -                   out_of_stock+paid -       -         -"},
		{"released: expired", "-       reservation_expired reservation_expired -                 -       -         -"},
		{"released: cancelled", "-       -                   -                   -                 -       -         -"},
		{"captured", "-       unavailable         paid                -                 -       -         -"},
		{"captured: unwanted", "-       -                   -                   -                 -       -         -"},
		{"captured: too little", "-       unavailable         conflict            -                 -       -         -"},
		{"declined", "-       -                   payment_declined    -                 -       -         -"},
		{"expired", "-       -                   payment_expired     -                 -       -         -"},
	} {
		for i, want := range strings.Fields(row.outcomes) {
			if got := outcome(reactions[row.event](everyStatus[i], decider.Meta{})); got != want {
				t.Errorf("%s, and the order is %q: %s, want %s", row.event, everyStatus[i].Status, got, want)
			}
		}
	}
}

// An order that costs nothing needs no payment, also when an older program let it await one.
func TestReact_FreeOrderIsPaidAtOnce(t *testing.T) {
	gift := events.OrderPlaced{OrderID: anOrder, CustomerID: "usr_ana", Total: gbp(0), TotalItems: 2,
		Items: []events.OrderItem{{SKU: "gift", Name: "Gift", Quantity: 2, UnitPrice: gbp(0), LineTotal: gbp(0)}}}
	isPaid := events.OrderPaid{OrderID: anOrder, PaymentID: events.PaymentFor(anOrder), Amount: gbp(0), Lines: items("gift", 2)}
	awaits := events.OrderAwaitingPayment{OrderID: anOrder, Amount: gbp(0)}
	for _, row := range []struct{ event, outcomes string }{
		//                     placed      awaiting         paid              cancelled
		{"reserved", "          paid        -                -                 -"},
		{"released: expired", " paid        paid             -                 -"},
		{"expired", "           -           paid             -                 -"},
		{"declined", "          -           payment_declined -                 -"},
		{"refused", "           out_of_stock -               out_of_stock+paid -"},
	} {
		for i, o := range []order{given(gift), given(gift, awaits), given(gift, isPaid), given(gift, ended(anOrder))} {
			event, err := reactions[row.event](o, decider.Meta{})
			if got, want := outcome(event, err), strings.Fields(row.outcomes)[i]; got != want {
				t.Errorf("%s, and the order is %q: %s, want %s", row.event, o.Status, got, want)
			}
			if got, ok := event.(events.OrderPaid); ok && (fmt.Sprint(got) != fmt.Sprint(isPaid) || got.Check() != nil) {
				t.Errorf("%s, and the order is %q: %+v, want %+v", row.event, o.Status, got, isPaid)
			}
		}
	}
}

// to returns the decision of a reaction about one event.
func to[E events.Event](react func(order, E, decider.Meta) (events.Event, error), event E) decision {
	return func(o order, m decider.Meta) (events.Event, error) { return react(o, event, m) }
}

var reactions = map[string]decision{
	"reserved":             to(onReserved, events.StockReserved{OrderID: anOrder}),
	"refused":              to(onRefused, events.StockRefused{OrderID: anOrder}),
	"released: expired":    to(onReleased, events.StockReleased{OrderID: anOrder, Reason: events.ReleasedExpired}),
	"released: cancelled":  to(onReleased, events.StockReleased{OrderID: anOrder, Reason: events.ReleasedCancelled}),
	"captured":             to(onCaptured, events.PaymentCaptured{OrderID: anOrder, PaymentID: "pay_1", Amount: gbp(1617)}),
	"captured: unwanted":   to(onCaptured, events.PaymentCaptured{OrderID: anOrder, PaymentID: "pay_1", Amount: gbp(1617), Unwanted: true}),
	"captured: too little": to(onCaptured, events.PaymentCaptured{OrderID: anOrder, PaymentID: "pay_1", Amount: gbp(1616)}),
	"declined":             to(onDeclined, events.PaymentDeclined{OrderID: anOrder}),
	"expired":              to(onExpired, events.PaymentExpired{OrderID: anOrder}),
}

func TestReact_PaidOrderHasOneLinePerSKU(t *testing.T) {
	got, err := reactions["captured"](everyStatus[2], decider.Meta{})
	if want := fmt.Sprint(paid(anOrder)); err != nil || fmt.Sprint(got) != want {
		t.Fatalf("got %v %v, want %v", got, err, want)
	}
}

func TestEvolve_KeepsReasonAndTimes(t *testing.T) {
	o := given(anasOrder(anOrder), awaiting(anOrder), events.OrderCancelled{OrderID: anOrder, Reason: events.PaymentHasExpired})
	if o.Status != query.Cancelled || o.CancelReason != events.PaymentHasExpired || o.Total != gbp(1617) || len(o.Items) != 3 ||
		!o.CreatedAt.Equal(noon) || !o.UpdatedAt.Equal(noon.Add(2*time.Minute)) {
		t.Fatalf("%+v", o)
	}
}
