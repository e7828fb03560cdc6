package inventory

import (
	"fmt"
	"reflect"
	"testing"

	"lonja/events"
	"lonja/events/command"
	"lonja/kit/errs"
	"lonja/kit/eventlog"
	"lonja/kit/service"
	"lonja/shop/shoptest"
)

func TestRestock_TakesBackWhatTheCustomerHas(t *testing.T) {
	type log = []events.Event
	has := func(later ...events.Event) log {
		return append(log{counted("lamp", 9, 0), counted("vase", 2, 0), stockReserved(ana, "lamp", 4, "vase", 1), stockCommitted(ana, false, "lamp", 4, "vase", 1)}, later...)
	}
	first := restocked(ana, "ref_1", lines("lamp", 3), lines("lamp", 1, "vase", 1))
	rest := restocked(ana, "ref_2", lines("lamp", 1, "vase", 1), nil, "ref_1")
	cancelled := events.OrderCancelled{OrderID: ana, Reason: events.CancelledByStaff, WasPaid: true}
	for name, c := range map[string]struct {
		given log
		when  events.Event
		then  events.Event
		code  errs.Code
	}{
		"some pieces":               {has(), refunded(ana, "ref_1", "lamp", 3), first, ""},
		"in several lines":          {has(), refunded(ana, "ref_1", "lamp", 1, "lamp", 2), first, ""},
		"once":                      {has(first), refunded(ana, "ref_1", "lamp", 3), nil, ""},
		"the rest":                  {has(first), refunded(ana, "ref_2", "vase", 1, "lamp", 1), rest, ""},
		"the first again, later":    {has(first, rest), refunded(ana, "ref_1", "lamp", 3), nil, ""},
		"no more than there is":     {has(first), refunded(ana, "ref_2", "vase", 9, "lamp", 9), rest, ""},
		"nothing that is not there": {has(), refunded(ana, "ref_1", "moon", 1), nil, ""},
		"nothing without restock":   {has(), refunded(ana, "ref_1"), nil, ""},
		"cancelled afterwards":      {has(first), cancelled, stockReturned(ana, "lamp", 1, "vase", 1), ""},
		"cancelled after all of it": {has(first, rest), cancelled, nil, ""},
		"after the cancellation":    {has(stockReturned(ana, "lamp", 4, "vase", 1)), refunded(ana, "ref_1", "lamp", 3), nil, ""},
		"after the goods were gone": {log{stockRefused(ana)}, refunded(ana, "ref_1", "lamp", 3), nil, ""},
		"paid again":                {has(first, rest), paid(ana, "lamp", 4, "vase", 1), nil, ""},
		"before order.paid came":    {log{counted("lamp", 9, 0), stockReserved(ana, "lamp", 4)}, refunded(ana, "ref_1", "lamp", 3), nil, errs.Unavailable},
		"before anything came":      {nil, refunded(ana, "ref_1", "lamp", 3), nil, errs.Unavailable},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := decide(given(c.given...), c.when, eventlog.Actor{})
			if c.code != "" {
				if !errs.Is(err, c.code) || got != nil {
					t.Errorf("got %+v %v, want %s", got, err, c.code)
				}
				return
			}
			if err != nil || !reflect.DeepEqual(got, c.then) {
				t.Errorf("got  %+v %v\nwant %+v", got, err, c.then)
			}
			if got != nil && got.Check() != nil {
				t.Errorf("the event is invalid: %v", got.Check())
			}
		})
	}
}

// A refund of pieces is known after the ledger has forgotten its order: from the rows or, without any, from
// the log. Its event may come before that of the payment, and comes again.
func TestRestock_OnceAlsoAfterTheLedgerHasForgotten(t *testing.T) {
	for name, inventory := range map[string]*service.Service{"with rows": New(Config{keeps: 2}), "without rows": withoutReservations(2)} {
		t.Run(name, func(t *testing.T) {
			shop := open(t, inventory)
			shop.stocks("lamp", 100)
			shop.Record("ORDERS", placed(ana, "lamp", 5))
			shoptest.Await(shop.Shop, about[events.StockReserved](ana))
			shop.Record("ORDERS", refunded(ana, "ref_1", "lamp", 2)) // waits
			shop.Record("ORDERS", paid(ana, "lamp", 5))
			shoptest.Await(shop.Shop, about[events.StockRestocked](ana))
			shop.has("lamp", 97, 0)
			forget := func(from int) {
				for n := range 4 {
					id := events.OrderID(fmt.Sprintf("ord_%d", from+n))
					shop.Record("ORDERS", placed(id, "lamp", 1000))
					shoptest.Await(shop.Shop, about[events.StockRefused](id))
				}
			}
			forget(0)
			shop.Record("ORDERS", refunded(ana, "ref_1", "lamp", 2)) // by hand, as if somebody had tried a dead letter again
			shop.Record("ORDERS", refunded(ana, "ref_2", "lamp", 1))
			second := shoptest.Await(shop.Shop, func(e events.StockRestocked) bool { return e.RefundID == "ref_2" })
			if want := restocked(ana, "ref_2", lines("lamp", 1), lines("lamp", 2), "ref_1"); !reflect.DeepEqual(second, want) {
				t.Errorf("recorded %+v, want %+v", second, want)
			}
			forget(4)
			shop.Record("ORDERS", events.OrderCancelled{OrderID: ana, Reason: events.CancelledByStaff, WasPaid: true})
			if e := shoptest.Await(shop.Shop, about[events.StockReturned](ana)); !reflect.DeepEqual(e, stockReturned(ana, "lamp", 2)) {
				t.Errorf("recorded %+v", e)
			}
			shop.has("lamp", 100, 0)
			shop.Do(command.CountStock{SKU: "lamp", OnHand: 3}, staff, nil)
		})
	}
}
