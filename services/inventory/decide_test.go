package inventory

import (
	"reflect"
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

const (
	mainStore = events.MainLocation
	ana       = events.OrderID("ord_ana")
	bo        = events.OrderID("ord_bo")
)

var (
	staff    = eventlog.Actor{ID: "usr_staff", Roles: []string{events.Staff}}
	admin    = eventlog.Actor{ID: "usr_admin", Roles: []string{events.Admin}}
	customer = eventlog.Actor{ID: "usr_ana", Roles: []string{events.Customer}}

	noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	ttl  = 20 * time.Minute
	due  = noon.Add(ttl)
)

func counted(sku events.SKU, onHand, reserved int64) events.Event {
	return events.StockCounted{Location: mainStore, Level: events.Level{SKU: sku, OnHand: onHand, Reserved: reserved}}
}

func adjusted(sku events.SKU, onHand, reserved, delta int64) events.Event {
	return events.StockAdjusted{Location: mainStore, Level: events.Level{SKU: sku, OnHand: onHand, Reserved: reserved}, Delta: delta, Reason: "found"}
}

// lines returns the quantities of pairs of a SKU and a quantity.
func lines(pairs ...any) []events.Quantity {
	lines := []events.Quantity{}
	for i := 0; i < len(pairs); i += 2 {
		lines = append(lines, events.Quantity{SKU: events.SKU(pairs[i].(string)), Quantity: int64(pairs[i+1].(int))})
	}
	return lines
}

func placed(id events.OrderID, pairs ...any) events.OrderPlaced {
	e := events.OrderPlaced{OrderID: id, CustomerID: "usr_ana", Total: pounds(0)}
	for _, line := range lines(pairs...) {
		e.Items = append(e.Items, events.OrderItem{SKU: line.SKU, Name: "a thing", Quantity: line.Quantity, UnitPrice: pounds(0), LineTotal: pounds(0)})
		e.TotalItems += line.Quantity
	}
	return e
}

func paid(id events.OrderID, pairs ...any) events.OrderPaid {
	return events.OrderPaid{OrderID: id, PaymentID: events.PaymentFor(id), Amount: pounds(0), Lines: lines(pairs...)}
}

func pounds(n int64) events.Money { return events.Money{Amount: n * 100, Currency: "GBP"} }

func stockReserved(id events.OrderID, pairs ...any) events.StockReserved {
	return events.StockReserved{Location: mainStore, OrderID: id, Lines: lines(pairs...), ExpiresAt: due}
}

func stockReleased(id events.OrderID, reason string, pairs ...any) events.Event {
	return events.StockReleased{Location: mainStore, OrderID: id, Lines: lines(pairs...), Reason: reason}
}

func stockCommitted(id events.OrderID, fromAvailable bool, pairs ...any) events.Event {
	return events.StockCommitted{Location: mainStore, OrderID: id, Lines: lines(pairs...), FromAvailable: fromAvailable}
}

func stockReturned(id events.OrderID, pairs ...any) events.Event {
	return events.StockReturned{Location: mainStore, OrderID: id, Lines: lines(pairs...)}
}

// restocked is that lines came back with a refund, and what the customer still has.
func restocked(id events.OrderID, refund events.RefundID, lines, kept []events.Quantity, earlier ...events.RefundID) events.Event {
	return events.StockRestocked{Location: mainStore, OrderID: id, RefundID: refund, Lines: lines, Kept: kept, Earlier: earlier}
}

// refunded is a refund of pieces that go back into stock.
func refunded(id events.OrderID, refund events.RefundID, pairs ...any) events.OrderRefundRequested {
	e := events.OrderRefundRequested{OrderID: id, RefundID: refund, Amount: pounds(1)}
	for _, line := range lines(pairs...) {
		e.Lines = append(e.Lines, events.RefundLine{SKU: line.SKU, Quantity: line.Quantity, Restock: true, Amount: pounds(1)})
	}
	return e
}

func stockRefused(id events.OrderID, short ...events.Shortage) events.Event {
	return events.StockRefused{Location: mainStore, OrderID: id, Shortages: short}
}

func given(recorded ...events.Event) *ledger {
	l := newLedger(keptOrders)
	for i, event := range recorded {
		l = evolve(l, event, uint64(i+1))
	}
	return l
}

// decide calls the decision about a command or another service's event. A StockReserved is
// its own reminder.
func decide(l *ledger, when any, as eventlog.Actor) (events.Event, error) {
	m := decider.Meta{EntityID: string(mainStore), Actor: as, Now: noon}
	switch w := when.(type) {
	case command.CountStock:
		return count(l, w, true, m)
	case command.AdjustStock:
		return adjust(l, w, true, m)
	case events.OrderPlaced:
		return reserve(ttl)(l, w, found{}, m)
	case events.OrderPaid:
		return commit(l, w, found{}, m)
	case events.OrderCancelled:
		return release(l, w, found{}, m)
	case events.OrderRefundRequested:
		return restock(l, w, found{}, m)
	case events.StockReserved:
		return expire(l, w, m)
	}
	panic("there is no decision about this")
}

func TestDecide_StaffCountAndAdjust(t *testing.T) {
	type log = []events.Event
	for _, c := range []struct {
		name  string
		given log
		as    eventlog.Actor
		when  any
		then  events.Event
		code  errs.Code
	}{
		{"a first count", nil, staff, command.CountStock{SKU: "lamp", OnHand: 7}, counted("lamp", 7, 0), ""},
		{"an administrator may, too", nil, admin, command.CountStock{SKU: "lamp", OnHand: 7}, counted("lamp", 7, 0), ""},
		{"a customer may not count", nil, customer, command.CountStock{SKU: "lamp", OnHand: 7}, nil, errs.Forbidden},
		{"nobody may not count", nil, eventlog.Actor{}, command.CountStock{SKU: "lamp", OnHand: 0}, nil, errs.Forbidden},
		{"a count of what is there", log{counted("lamp", 7, 0)}, staff, command.CountStock{SKU: "lamp", OnHand: 7}, nil, ""},
		{"a count of none where none is", nil, staff, command.CountStock{SKU: "lamp", OnHand: 0}, nil, ""},
		{"a count keeps what is reserved", log{counted("lamp", 7, 0), stockReserved(ana, "lamp", 3)}, staff,
			command.CountStock{SKU: "lamp", OnHand: 3}, counted("lamp", 3, 3), ""},
		{"a count below what is reserved", log{counted("lamp", 7, 0), stockReserved(ana, "lamp", 3)}, staff,
			command.CountStock{SKU: "lamp", OnHand: 2}, nil, errs.Conflict},
		{"one SKU's count leaves the other", log{counted("lamp", 7, 0)}, staff, command.CountStock{SKU: "vase", OnHand: 1}, counted("vase", 1, 0), ""},

		{"some arrive", log{counted("lamp", 7, 0)}, staff, command.AdjustStock{SKU: "lamp", Delta: 5, Reason: "found"}, adjusted("lamp", 12, 0, 5), ""},
		{"the first arrive", nil, staff, command.AdjustStock{SKU: "lamp", Delta: 5, Reason: "found"}, adjusted("lamp", 5, 0, 5), ""},
		{"some break", log{counted("lamp", 7, 0), stockReserved(ana, "lamp", 3)}, admin,
			command.AdjustStock{SKU: "lamp", Delta: -4, Reason: "found"}, adjusted("lamp", 3, 3, -4), ""},
		{"a reserved one breaks", log{counted("lamp", 7, 0), stockReserved(ana, "lamp", 3)}, staff,
			command.AdjustStock{SKU: "lamp", Delta: -5, Reason: "found"}, nil, errs.Conflict},
		{"more break than there are", nil, staff, command.AdjustStock{SKU: "lamp", Delta: -1, Reason: "found"}, nil, errs.Conflict},
		{"as many as there may be", log{counted("lamp", 1, 0)}, staff, command.AdjustStock{SKU: "lamp", Delta: events.MaxQuantity - 1, Reason: "found"},
			adjusted("lamp", events.MaxQuantity, 0, events.MaxQuantity-1), ""},
		{"more than there may be", log{counted("lamp", 1, 0)}, staff,
			command.AdjustStock{SKU: "lamp", Delta: events.MaxQuantity, Reason: "found"}, nil, errs.Conflict},
		{"a customer may not adjust", nil, customer, command.AdjustStock{SKU: "lamp", Delta: 5, Reason: "found"}, nil, errs.Forbidden},
	} {
		t.Run(c.name, func(t *testing.T) {
			then, err := decide(given(c.given...), c.when, c.as)
			if !reflect.DeepEqual(then, c.then) {
				t.Errorf("got  %+v\nwant %+v", then, c.then)
			}
			if coded, _ := errs.As(err); (err == nil) != (c.code == "") || coded != nil && coded.Code != c.code {
				t.Errorf("got %v, want code %q", err, c.code)
			}
		})
	}
}

func TestDecide_OrderTakesStockAndGivesItBack(t *testing.T) {
	type log = []events.Event
	cancelled := events.OrderCancelled{OrderID: ana, Reason: events.CancelledByCustomer}
	cancelledPaid := events.OrderCancelled{OrderID: ana, Reason: events.CancelledByStaff, WasPaid: true}
	stocked := func(more ...events.Event) log {
		return append(log{counted("lamp", 5, 0), counted("vase", 2, 0)}, more...)
	}
	for _, c := range []struct {
		name  string
		given log
		when  events.Event
		then  events.Event
	}{
		{"all lines are reserved", stocked(), placed(ana, "lamp", 5, "vase", 1), stockReserved(ana, "lamp", 5, "vase", 1)},
		{"lines of one SKU are one", stocked(), placed(ana, "lamp", 2, "vase", 1, "lamp", 3), stockReserved(ana, "lamp", 5, "vase", 1)},
		{"or none, when one is short", stocked(), placed(ana, "lamp", 1, "vase", 3), stockRefused(ana, events.Shortage{SKU: "vase", Wanted: 3, Available: 2})},
		{"lines of one SKU are short together", stocked(), placed(ana, "lamp", 3, "lamp", 3), stockRefused(ana, events.Shortage{SKU: "lamp", Wanted: 6, Available: 5})},
		{"what has no stock is short", nil, placed(ana, "moon", 1), stockRefused(ana, events.Shortage{SKU: "moon", Wanted: 1})},
		{"what is reserved for others is short", stocked(stockReserved(bo, "lamp", 4)), placed(ana, "lamp", 2),
			stockRefused(ana, events.Shortage{SKU: "lamp", Wanted: 2, Available: 1})},
		{"every shortage is listed", stocked(), placed(ana, "lamp", 9, "vase", 9),
			stockRefused(ana, events.Shortage{SKU: "lamp", Wanted: 9, Available: 5}, events.Shortage{SKU: "vase", Wanted: 9, Available: 2})},
		{"a quantity beyond all bounds is a shortage", stocked(), placed(ana, "lamp", events.MaxQuantity, "lamp", events.MaxQuantity),
			stockRefused(ana, events.Shortage{SKU: "lamp", Wanted: 2 * events.MaxQuantity, Available: 5})},

		{"paid: what was reserved leaves", stocked(stockReserved(ana, "lamp", 5)), paid(ana, "lamp", 2, "lamp", 3), stockCommitted(ana, false, "lamp", 5)},
		{"paid late: what is there leaves", stocked(stockReserved(ana, "lamp", 5), stockReleased(ana, events.ReleasedExpired, "lamp", 5)),
			paid(ana, "lamp", 2, "lamp", 3), stockCommitted(ana, true, "lamp", 5)},
		{"paid too late: others have it", stocked(stockReserved(ana, "lamp", 5), stockReleased(ana, events.ReleasedExpired, "lamp", 5), stockReserved(bo, "lamp", 1)),
			paid(ana, "lamp", 5), stockRefused(ana, events.Shortage{SKU: "lamp", Wanted: 5, Available: 4})},
		{"paid before placed was seen", stocked(), paid(ana, "vase", 2), stockCommitted(ana, true, "vase", 2)},

		{"cancelled: what was reserved is released", stocked(stockReserved(ana, "lamp", 5)), cancelled, stockReleased(ana, events.ReleasedCancelled, "lamp", 5)},
		{"cancelled after paid: what left comes back", stocked(stockReserved(ana, "lamp", 5), stockCommitted(ana, false, "lamp", 5)), cancelledPaid, stockReturned(ana, "lamp", 5)},
		{"cancelled before placed was seen: nothing will be reserved", stocked(), cancelled, stockReleased(ana, events.ReleasedCancelled)},
		{"cancelled before a late paid was seen: nothing will leave", stocked(stockReserved(ana, "lamp", 5), stockReleased(ana, events.ReleasedExpired, "lamp", 5)),
			cancelledPaid, stockReleased(ana, events.ReleasedCancelled)},

		{"not paid in time", stocked(stockReserved(ana, "lamp", 5)), stockReserved(ana, "lamp", 5), stockReleased(ana, events.ReleasedExpired, "lamp", 5)},
	} {
		t.Run(c.name, func(t *testing.T) {
			then, err := decide(given(c.given...), c.when, eventlog.Actor{ID: "service:inventory"})
			if err != nil || !reflect.DeepEqual(then, c.then) {
				t.Errorf("got  %+v %v\nwant %+v", then, err, c.then)
			}
			if then.Check() != nil {
				t.Errorf("the event is invalid: %v", then.Check())
			}
		})
	}
}

// TestDecide_EveryEventInEveryState holds all that inventory decides about an order: each
// of its events in each state. "-" means no event.
func TestDecide_EveryEventInEveryState(t *testing.T) {
	wants := []any{"lamp", 4}
	set := stockReserved(ana, wants...)
	states := map[string][]events.Event{
		"unknown":    nil,
		"reserved":   {set},
		"expired":    {set, stockReleased(ana, events.ReleasedExpired, wants...)},
		"committed":  {set, stockCommitted(ana, false, wants...)},
		"taken late": {set, stockReleased(ana, events.ReleasedExpired, wants...), stockCommitted(ana, true, wants...)},
		"refused":    {stockRefused(ana)},
		"released":   {set, stockReleased(ana, events.ReleasedCancelled, wants...)},
		"never":      {stockReleased(ana, events.ReleasedCancelled)},
		"returned":   {set, stockCommitted(ana, false, wants...), stockReturned(ana, wants...)},
	}
	const grid = `
state      | placed   | placed,none | paid      | paid,none | cancelled | cancelled,paid | reminder
unknown    | reserved | refused     | committed | refused   | released  | released       | -
reserved   | -        | -           | committed | committed | released  | released       | released
expired    | -        | -           | committed | refused   | -         | released       | -
committed  | -        | -           | -         | -         | returned  | returned       | -
taken late | -        | -           | -         | -         | returned  | returned       | -
refused    | -        | -           | -         | -         | -         | -              | -
released   | -        | -           | -         | -         | -         | -              | -
never      | -        | -           | -         | -         | -         | -              | -
returned   | -        | -           | -         | -         | -         | -              | -`
	arriving := map[string]events.Event{
		"placed":    placed(ana, wants...),
		"paid":      paid(ana, wants...),
		"cancelled": events.OrderCancelled{OrderID: ana, Reason: events.CancelledByStaff},
		"reminder":  set,
	}
	rows := strings.Split(strings.TrimSpace(grid), "\n")
	if len(rows)-1 != len(states) {
		t.Fatalf("%d rows for %d states", len(rows)-1, len(states))
	}
	for _, row := range rows[1:] {
		for i, want := range cells(row)[1:] {
			state, column := cells(row)[0], cells(rows[0])[i+1]
			l := given(append([]events.Event{counted("lamp", 9, 0)}, states[state]...)...)
			name, how, _ := strings.Cut(column, ",")
			when := arriving[name]
			switch how {
			case "none": // and no other lamp is available
				level := l.level("lamp")
				l = evolve(l, counted("lamp", level.Reserved, level.Reserved), 99)
			case "paid":
				when = events.OrderCancelled{OrderID: ana, Reason: events.CancelledByStaff, WasPaid: true}
			}
			then, err := decide(l, when, eventlog.Actor{})
			if got := shortName(then); err != nil || got != want {
				t.Errorf("%s, %s: got %s %v, want %s", state, column, got, err, want)
			}
		}
	}
}

func cells(row string) []string {
	cells := strings.Split(row, "|")
	for i := range cells {
		cells[i] = strings.TrimSpace(cells[i])
	}
	return cells
}

// shortName returns the last part of an event's name, "-" for nil.
func shortName(e events.Event) string {
	if e == nil {
		return "-"
	}
	return strings.Split(e.EventName(), ".")[1]
}

func TestReply_IsTheLevelThatTheEventCarries(t *testing.T) {
	l := given(counted("lamp", 9, 0), stockReserved(ana, "lamp", 4))
	then := query.StockView{SKU: "lamp", OnHand: 7, Reserved: 3, Available: 4}
	for _, event := range []events.Event{counted("lamp", 7, 3), adjusted("lamp", 7, 3, 1)} {
		if got := reply(l, event); got != then {
			t.Errorf("%T: got %+v, want %+v", event, got, then)
		}
	}
	now := query.StockView{SKU: "lamp", OnHand: 9, Reserved: 4, Available: 5}
	if got := replyToCount(l, command.CountStock{SKU: "lamp", OnHand: 9}, nil); got != now {
		t.Errorf("when counting changed nothing: got %+v, want %+v", got, now)
	}
}

func TestLedger_FinishedOrdersKeepNoLines(t *testing.T) {
	l := given(counted("lamp", 9, 0),
		stockReserved(ana, "lamp", 4), stockCommitted(ana, false, "lamp", 4), stockReturned(ana, "lamp", 4),
		stockReserved(bo, "lamp", 4), stockReleased(bo, events.ReleasedExpired, "lamp", 4))
	for id, o := range l.orders {
		if o.lines != nil {
			t.Errorf("kept %+v of %s", o.lines, id)
		}
	}
	if len(l.orders) != 2 {
		t.Errorf("knows %d orders", len(l.orders))
	}
}

func TestDecide_StockWithoutProductIsNotFound(t *testing.T) {
	for who, want := range map[*eventlog.Actor]errs.Code{&staff: errs.NotFound, &admin: errs.NotFound, &customer: errs.Forbidden} {
		m := decider.Meta{EntityID: string(mainStore), Actor: *who, Now: noon}
		if event, err := count(newLedger(keptOrders), command.CountStock{SKU: "lamb", OnHand: 0}, false, m); event != nil || !errs.Is(err, want) {
			t.Errorf("%s counts: %+v %v, want %s", who.ID, event, err, want)
		}
		if event, err := adjust(newLedger(keptOrders), command.AdjustStock{SKU: "lamb", Delta: 1, Reason: "found"}, false, m); event != nil || !errs.Is(err, want) {
			t.Errorf("%s adjusts: %+v %v, want %s", who.ID, event, err, want)
		}
	}
}
