package inventory

import (
	"flag"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"lonja/events"
	"lonja/events/command"
)

// Some bugs need five events in one order; -rapid.checks on the command line still wins.
func init() { _ = flag.Set("rapid.checks", "2000") }

// TestLedger_NoSequenceOfEventsBreaksIt applies commands and events in any order and any
// number of times, and checks the ledger after each.
func TestLedger_NoSequenceOfEventsBreaksIt(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		h := newHistory()
		orders := rapid.SliceOfN(rapid.Custom(anOrder), 4, 4).Draw(t, "orders")
		pick := func(t *rapid.T) anyOrder {
			i := rapid.IntRange(0, len(orders)-1).Draw(t, "order")
			orders[i].OrderID = events.OrderID(fmt.Sprintf("ord_%d", i))
			return orders[i]
		}
		for _, sku := range skus {
			h.meets(t, command.CountStock{SKU: sku, OnHand: 6})
		}
		t.Repeat(map[string]func(*rapid.T){
			"placed": func(t *rapid.T) { h.meets(t, pick(t).OrderPlaced) },
			"paid": func(t *rapid.T) {
				if o := pick(t); o.getsPaid {
					h.meets(t, events.OrderPaid{OrderID: o.OrderID, Lines: events.PerSKU(events.LinesOf(o.Items))})
				}
			},
			"cancelled": func(t *rapid.T) {
				o := pick(t)
				h.meets(t, events.OrderCancelled{OrderID: o.OrderID, WasPaid: o.getsPaid})
				h.over[o.OrderID] = true
			},
			"refunded": func(t *rapid.T) {
				h.meets(t, refunded(pick(t).OrderID, events.RefundID(fmt.Sprint("ref_", rapid.IntRange(1, 3).Draw(t, "refund"))),
					string(rapid.SampledFrom(skus).Draw(t, "sku")), rapid.IntRange(1, 3).Draw(t, "pieces")))
			},
			"reminder": func(t *rapid.T) { h.meets(t, events.StockReserved{OrderID: pick(t).OrderID}) },
			"count": func(t *rapid.T) {
				h.meets(t, command.CountStock{SKU: rapid.SampledFrom(skus).Draw(t, "sku"), OnHand: rapid.Int64Range(0, 20).Draw(t, "on hand")})
			},
			"adjust": func(t *rapid.T) {
				h.meets(t, command.AdjustStock{SKU: rapid.SampledFrom(skus).Draw(t, "sku"), Delta: rapid.Int64Range(-20, 20).Draw(t, "delta"), Reason: "found"})
			},
			"": h.holds,
		})
	})
}

var skus = []events.SKU{"lamp", "vase", "bowl"}

// anyOrder is an order, and whether it is paid at some time: its cancellation says so.
type anyOrder struct {
	events.OrderPlaced
	getsPaid bool
}

func anOrder(t *rapid.T) anyOrder {
	o := anyOrder{placed(""), rapid.Bool().Draw(t, "gets paid")}
	for range rapid.IntRange(1, 3).Draw(t, "lines") {
		o.Items = append(o.Items, events.OrderItem{
			SKU: rapid.SampledFrom(skus).Draw(t, "sku"), Quantity: rapid.Int64Range(1, 4).Draw(t, "quantity")})
	}
	return o
}

// history is a ledger and, kept apart from it, an account of every order and every piece.
type history struct {
	ledger  *ledger
	log     []events.Event
	orders  map[events.OrderID][]string // the events about each
	over    map[events.OrderID]bool     // those whose cancellation arrived
	arrived map[events.SKU]int64        // pieces that staff added, less those they took
	out     map[events.SKU]int64        // pieces that left with orders and did not come back
}

func newHistory() *history {
	return &history{ledger: newLedger(keptOrders), orders: map[events.OrderID][]string{}, over: map[events.OrderID]bool{},
		arrived: map[events.SKU]int64{}, out: map[events.SKU]int64{}}
}

// meets decides about a command or event, and applies the event that results, if any.
func (h *history) meets(t *rapid.T, when any) {
	then, err := decide(h.ledger, when, staff)
	again, errAgain := decide(h.ledger, when, staff)
	if !reflect.DeepEqual(then, again) || (err == nil) != (errAgain == nil) {
		t.Fatalf("decided twice, got %+v %v and %+v %v", then, err, again, errAgain)
	}
	if then == nil || err != nil {
		return
	}
	if then.EntityID() != string(mainStore) {
		t.Fatalf("%T is about %q", then, then.EntityID())
	}
	h.note(t, then)
	h.log = append(h.log, then)
	h.ledger = evolve(h.ledger, then, uint64(len(h.log)))
}

func (h *history) note(t *rapid.T, then events.Event) {
	switch e := then.(type) {
	case events.StockCounted:
		h.arrived[e.SKU] += e.OnHand - h.ledger.level(e.SKU).OnHand
	case events.StockAdjusted:
		h.arrived[e.SKU] += e.Delta
	case events.StockCommitted:
		for _, line := range e.Lines {
			h.out[line.SKU] += line.Quantity
		}
	case events.StockReturned:
		for _, line := range e.Lines {
			h.out[line.SKU] -= line.Quantity
		}
	case events.StockRestocked:
		for _, line := range e.Lines {
			h.out[line.SKU] -= line.Quantity
		}
		if slices.Contains(h.orders[e.OrderID], string(e.RefundID)) {
			t.Fatalf("the pieces of %s came back twice", e.RefundID)
		}
		h.orders[e.OrderID] = append(h.orders[e.OrderID], string(e.RefundID))
		return
	}
	if e, ok := then.(events.OfOrder); ok {
		name := shortName(e)
		if r, ok := e.(events.StockReleased); ok {
			name = r.Reason
		}
		h.orders[e.Order()] = append(h.orders[e.Order()], name)
	}
}

// ways lists every path of an order through the ledger, to its end.
var ways = [][]string{
	{"refused"},
	{"cancelled"},
	{"committed", "returned"},
	{"reserved", "cancelled"},
	{"reserved", "committed", "returned"},
	{"reserved", "expired", "cancelled"},
	{"reserved", "expired", "refused"},
	{"reserved", "expired", "committed", "returned"},
}

func (h *history) holds(t *rapid.T) {
	aside := map[events.SKU]int64{}
	for id, went := range h.orders {
		went = slices.DeleteFunc(slices.Clone(went), func(step string) bool { return strings.HasPrefix(step, "ref_") })
		if !slices.ContainsFunc(ways, func(way []string) bool { return len(way) >= len(went) && slices.Equal(way[:len(went)], went) }) {
			t.Fatalf("order %s went %v", id, went)
		}
		last := went[len(went)-1]
		if h.over[id] && (last == "reserved" || last == "committed" && len(h.ledger.orders[id].lines) > 0) {
			t.Fatalf("order %s is cancelled, and yet %s", id, last)
		}
		if last == "reserved" {
			for _, line := range h.ledger.orders[id].lines {
				aside[line.SKU] += line.Quantity
			}
		}
	}
	for sku, level := range h.ledger.levels {
		switch {
		case level.Reserved < 0 || level.Reserved > level.OnHand:
			t.Fatalf("%+v is no level, after %+v", level, h.log)
		case level.Reserved != aside[sku]:
			t.Fatalf("%d of %s are reserved, but %d for orders", level.Reserved, sku, aside[sku])
		case level.OnHand+h.out[sku] != h.arrived[sku]:
			t.Fatalf("%d of %s are on hand and %d left, but %d came", level.OnHand, sku, h.out[sku], h.arrived[sku])
		}
	}
	if replayed := given(h.log...); !reflect.DeepEqual(replayed, h.ledger) {
		t.Fatalf("the same log leads to another ledger: %+v and %+v", replayed, h.ledger)
	}
}
