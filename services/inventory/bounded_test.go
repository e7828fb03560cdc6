package inventory

import (
	"errors"
	"fmt"
	"maps"
	"reflect"
	"testing"

	"pgregory.net/rapid"

	"lonja/events"
	"lonja/kit/decider"
	"lonja/kit/errs"
	"lonja/kit/eventlog"
	"lonja/kit/kittest"
)

// TestLedger_DecidesTheSameWithoutWhatIsOver compares a ledger that forgets nearly everything with
// one that keeps everything. Events arrive in any order and again, rows lag or lead, what was
// looked up is old, and the ledger is read from a snapshot at any time.
func TestLedger_DecidesTheSameWithoutWhatIsOver(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		keeps := rapid.IntRange(1, 3).Draw(t, "keeps")
		w := &twoLedgers{whole: newLedger(1 << 30), bounded: newLedger(keeps), rows: rowsAt{orders: map[events.OrderID]order{}}, lookedUp: map[events.OrderID]found{}}
		w.record(counted("lamp", 12, 0))
		id := func(t *rapid.T) events.OrderID {
			return events.OrderID(fmt.Sprintf("ord_%d", rapid.IntRange(0, 9).Draw(t, "order")))
		}
		t.Repeat(map[string]func(*rapid.T){
			"placed": func(t *rapid.T) { w.meets(t, placed(id(t), "lamp", rapid.IntRange(1, 3).Draw(t, "pieces"))) },
			"paid":   func(t *rapid.T) { w.meets(t, paid(id(t), "lamp", rapid.IntRange(1, 3).Draw(t, "pieces"))) },
			"cancelled": func(t *rapid.T) {
				w.meets(t, events.OrderCancelled{OrderID: id(t), WasPaid: rapid.Bool().Draw(t, "was paid")})
			},
			"refunded": func(t *rapid.T) {
				w.meets(t, refunded(id(t), events.RefundID(fmt.Sprint("ref_", rapid.IntRange(1, 3).Draw(t, "refund"))), "lamp", rapid.IntRange(1, 2).Draw(t, "pieces")))
			},
			"reminder":  func(t *rapid.T) { w.meets(t, events.StockReserved{OrderID: id(t)}) },
			"looked up": func(t *rapid.T) { id := id(t); w.lookedUp[id] = w.rows.find(id) },
			"rows":      func(t *rapid.T) { w.rows.follow(w.log, rapid.IntRange(len(w.rows.log), len(w.log)).Draw(t, "through")) },
			"restart":   func(t *rapid.T) { w.restart(t, rapid.IntRange(0, len(w.log)).Draw(t, "snapshot")) },
			"": func(t *rapid.T) {
				if w.bounded.size() > len(w.log) || len(w.bounded.settled) > w.bounded.keeps {
					t.Fatalf("it keeps %d settled orders", len(w.bounded.settled))
				}
				if !maps.Equal(w.bounded.levels, w.whole.levels) {
					t.Fatalf("levels %v and %v", w.bounded.levels, w.whole.levels)
				}
			},
		})
	})
}

// size returns how many orders the ledger holds.
func (l *ledger) size() int { return len(l.orders) }

// twoLedgers are two ledgers of one log, and rows that follow it.
type twoLedgers struct {
	log            []events.Event
	whole, bounded *ledger
	rows           rowsAt
	lookedUp       map[events.OrderID]found // at an earlier time
}

// rowsAt is what the reservations view holds, from a part of the log.
type rowsAt struct {
	log    []events.Event
	orders map[events.OrderID]order
}

func (r *rowsAt) follow(log []events.Event, through int) {
	for i := len(r.log); i < through; i++ {
		if id, o, ok := orderAfter(log[i]); ok {
			r.orders[id] = order{o.status, o.lines, o.restocked, uint64(i + 1)}
		}
	}
	r.log = log[:through]
}

func (r *rowsAt) find(id events.OrderID) found { return found{r.orders[id], uint64(len(r.log))} }

func (w *twoLedgers) record(e events.Event) {
	w.log = append(w.log, e)
	w.whole = evolve(w.whole, e, uint64(len(w.log)))
	w.bounded = evolve(w.bounded, e, uint64(len(w.log)))
}

// meets decides about an order's event on both ledgers and records the result.
func (w *twoLedgers) meets(t *rapid.T, when events.OfOrder) {
	want, err := react(w.whole, when, found{})
	waits := errs.Is(err, errs.Unavailable)
	if err != nil && !waits {
		t.Fatal(err)
	}
	f := w.lookedUp[when.Order()]
	for range 2 {
		got, err := react(w.bounded, when, f)
		var more *decider.NeedsLookup
		switch {
		case errors.As(err, &more):
			if uint64(len(w.rows.log)) < more.Through {
				w.rows.follow(w.log, rapid.IntRange(int(more.Through), len(w.log)).Draw(t, "rows catch up"))
			}
			f = w.rows.find(when.Order())
			continue
		case waits && errs.Is(err, errs.Unavailable):
			return
		case err != nil || waits || !reflect.DeepEqual(got, want):
			t.Fatalf("about %+v, with %+v: %+v, %v, but all of the log says %+v", when, f, got, err, want)
		}
		if want != nil {
			w.record(want)
		}
		return
	}
	t.Fatalf("about %+v, more is to be looked up than there is", when)
}

// restart reads the bounded ledger from a snapshot that was written when the log had n events, and
// folds the rest.
func (w *twoLedgers) restart(t *rapid.T, n int) {
	old := newLedger(w.bounded.keeps)
	for i, e := range w.log[:n] {
		old = evolve(old, e, uint64(i+1))
	}
	data, err := encodeLedger(old)()
	if err != nil {
		t.Fatal(err)
	}
	restored, err := decodeLedger(data, old.keeps)
	if err != nil {
		t.Fatal(err)
	}
	for i, e := range w.log[n:] {
		restored = evolve(restored, e, uint64(n+i+1))
	}
	before, _ := encodeLedger(w.bounded)()
	if after, err := encodeLedger(restored)(); err != nil || string(after) != string(before) {
		t.Fatalf("restored at %d it is\n%s\nnot\n%s", n, after, before)
	}
	w.bounded = restored
}

// react calls the decision about an order's event with what was found about the order.
func react(l *ledger, when events.OfOrder, f found) (events.Event, error) {
	m := decider.Meta{EntityID: string(mainStore), Now: noon}
	switch e := when.(type) {
	case events.OrderPlaced:
		return reserve(ttl)(l, e, f, m)
	case events.OrderPaid:
		return commit(l, e, f, m)
	case events.OrderCancelled:
		return release(l, e, f, m)
	case events.OrderRefundRequested:
		return restock(l, e, f, m)
	case events.StockReserved:
		return expire(l, e, m)
	}
	panic("there is no decision about this")
}

// A ledger's memory depends on its SKUs, its open reservations and the window only.
func TestLedger_FinishedOrdersTakeNoMemory(t *testing.T) {
	l, n := newLedger(keptOrders), uint64(0)
	meets := func(e events.Event) { n++; l = evolve(l, e, n) }
	meets(counted("lamp", events.MaxQuantity/2, 0))
	meets(stockReserved("ord_open", "lamp", 1))
	finish := func(orders int) {
		for range orders {
			id := events.OrderID(fmt.Sprintf("ord_%032x", n))
			meets(stockReserved(id, "lamp", 1))
			meets(stockCommitted(id, false, "lamp", 1))
		}
	}
	finish(keptOrders)
	if l.floor != 0 {
		t.Errorf("the ledger has forgotten an order at %d", l.floor)
	}
	finish(3 * keptOrders)
	if l.size() != keptOrders+1 || len(l.settled) != keptOrders || cap(l.settled) > 4*keptOrders {
		t.Errorf("the ledger holds %d orders, %d (%d) settled", l.size(), len(l.settled), cap(l.settled))
	}
	if l.orders["ord_open"].status != reserved {
		t.Error("an open reservation was forgotten")
	}
	if l.floor != n-2*keptOrders {
		t.Errorf("after %d events it has forgotten what is before %d", n, l.floor)
	}
}

// A snapshot is written while the ledger changes.
func TestLedger_IsEncodedAsItWas(t *testing.T) {
	l := given(counted("lamp", 9, 0), stockReserved(ana, "lamp", 2), stockRefused(bo))
	want, err := encodeLedger(l)()
	if err != nil {
		t.Fatal(err)
	}
	later := encodeLedger(l)
	for i, e := range []events.Event{stockCommitted(ana, false, "lamp", 2), counted("vase", 1, 0), stockRefused("ord_more")} {
		l = evolve(l, e, uint64(4+i))
	}
	if got, err := later(); err != nil || string(got) != string(want) {
		t.Errorf("got  %s %v\nwant %s", got, err, want)
	}
}

func TestLedger_AsksForWhatItHasForgotten(t *testing.T) {
	l := newLedger(1)
	for i, e := range []events.Event{counted("lamp", 9, 0), stockCommitted(ana, true, "lamp", 2), stockCommitted(bo, true, "lamp", 1)} {
		l = evolve(l, e, uint64(i+1))
	}
	cancelled := events.OrderCancelled{OrderID: ana, WasPaid: true}
	for _, old := range []found{{}, {through: 1}} {
		_, err := react(l, cancelled, old)
		if more := (*decider.NeedsLookup)(nil); !errors.As(err, &more) || more.Through != 2 {
			t.Errorf("with what was found up to %d: %v", old.through, err)
		}
	}
	then, err := react(l, cancelled, found{order{committed, lines("lamp", 2), nil, 2}, 2})
	if want := stockReturned(ana, "lamp", 2); err != nil || !reflect.DeepEqual(then, want) {
		t.Errorf("got %+v, %v, want %+v", then, err, want)
	}
	if then, err := react(l, events.OrderCancelled{OrderID: bo, WasPaid: true}, found{}); err != nil || !reflect.DeepEqual(then, stockReturned(bo, "lamp", 1)) {
		t.Errorf("what the ledger knows is looked up: %+v, %v", then, err)
	}
}

// TestLedger_GoldenFold folds one of each kind of event that the ledger knows, each way of an order,
// and so many orders that the first are forgotten. Add events at the end when there are new kinds.
func TestLedger_GoldenFold(t *testing.T) {
	golden := []events.Event{
		counted("lamp", 50, 0), adjusted("vase", 9, 0, 9),
		stockReserved("ord_paid", "lamp", 2), stockCommitted("ord_paid", false, "lamp", 2),
	}
	for n := range keptOrders - 2 {
		golden = append(golden, stockRefused(events.OrderID(fmt.Sprintf("ord_%d", n))))
	}
	golden = append(golden,
		stockReserved("ord_open", "lamp", 5, "vase", 1),
		stockReserved("ord_late", "lamp", 1), stockReleased("ord_late", events.ReleasedExpired, "lamp", 1),
		stockReserved("ord_gone", "vase", 1), stockReleased("ord_gone", events.ReleasedCancelled, "vase", 1),
		stockRefused("ord_short"), stockReleased("ord_never", events.ReleasedCancelled),
		stockCommitted("ord_back", true, "lamp", 3), stockReturned("ord_back", "lamp", 3),
		counted("lamp", 47, 5),
		stockReserved("ord_part", "lamp", 3), stockCommitted("ord_part", false, "lamp", 3),
		restocked("ord_part", "ref_1", lines("lamp", 1), lines("lamp", 2)), restocked("ord_part", "ref_2", lines("lamp", 2), nil, "ref_1"))
	var records []eventlog.Record
	for i, e := range golden {
		records = append(records, eventlog.Record{Sequence: uint64(i + 1), Event: e})
	}
	kittest.CheckFold(t, stockTypeOf(keptOrders), records, "2:8d75a36a448dc893")
}
