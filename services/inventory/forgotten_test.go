package inventory

import (
	"context"
	"fmt"
	"testing"

	"lonja/events"
	"lonja/events/command"
	"lonja/kit/eventlog"
	"lonja/kit/service"
	"lonja/shop/shoptest"
)

// A reservations view that never has rows is as bad as one can be: it is not even being built.
func withoutReservations(keeps int) *service.Service {
	s := New(Config{keeps: keeps})
	s.Views, s.Timers = s.Views[:1], nil
	return s
}

// Orders that the ledger has forgotten are known from the view's rows or, without any, from the
// log: they can be returned, and nothing about them happens twice.
func TestOrders_GoOnAfterTheLedgerHasForgottenThem(t *testing.T) {
	for name, inventory := range map[string]*service.Service{"with rows": New(Config{keeps: 2}), "without rows": withoutReservations(2)} {
		t.Run(name, func(t *testing.T) {
			shop := open(t, inventory)
			shop.stocks("lamp", 100)
			id := func(n int) events.OrderID { return events.OrderID(fmt.Sprintf("ord_%d", n)) }
			for n := range 8 { // of which the first six are forgotten
				shop.Record("ORDERS", placed(id(n), "lamp", 1))
				shoptest.Await(shop.Shop, about[events.StockReserved](id(n)))
				shop.Record("ORDERS", paid(id(n), "lamp", 1))
				shoptest.Await(shop.Shop, about[events.StockCommitted](id(n)))
			}
			before := shop.recorded()
			for n := range 8 { // by hand, as if somebody had tried dead letters again
				shop.Record("ORDERS", placed(id(n), "lamp", 1))
				shop.Record("ORDERS", paid(id(n), "lamp", 1))
			}
			for n := range 3 {
				shop.Record("ORDERS", events.OrderCancelled{OrderID: id(n), Reason: events.CancelledByStaff, WasPaid: true})
				shoptest.Await(shop.Shop, about[events.StockReturned](id(n)))
			}
			shop.Record("ORDERS", placed(bo, "lamp", 5))
			shoptest.Await(shop.Shop, about[events.StockReserved](bo))
			if n := shop.recorded() - before; n != 4 {
				t.Errorf("%d events more, want 3 returns and a reservation", n)
			}
			shop.has("lamp", 95, 5)
		})
	}
}

// A command of staff gets its first answer however long ago that was.
func TestAdjust_SentAgainAfterTheLedgerHasForgottenIt(t *testing.T) {
	for name, inventory := range map[string]*service.Service{"with rows": New(Config{}), "without rows": withoutReservations(keptOrders)} {
		t.Run(name, func(t *testing.T) {
			shop := open(t)
			dir := t.TempDir()
			stop := shop.Run(New(Config{}), "a", dir)
			shop.creates("lamp")
			adjust := command.AdjustStock{SKU: "lamp", Delta: 5, Reason: "found"}
			env := eventlog.Envelope{ID: eventlog.NewID(), Actor: staff}
			first, err := shop.Send(t.Context(), adjust, env)
			if err != nil {
				t.Fatal(err)
			}
			if err := stop(); err != nil {
				t.Fatal(err)
			}
			shop.fill(4200)
			shop.Run(inventory, "a", dir)
			second, err := shop.Send(t.Context(), adjust, env)
			if err != nil || !second.Replayed || string(second.Body) != string(first.Body) || second.Position != first.Position {
				t.Errorf("got %s %+v %v, want %s", second.Body, second, err, first.Body)
			}
			if n := shop.recorded(); n != 4201 {
				t.Errorf("%d events, want 4201", n)
			}
		})
	}
}

// fill records so many events of other commands.
func (s store) fill(n int) {
	s.t.Helper()
	log := eventlog.New(s.JS, shoptest.Codec)
	last := s.recorded()
	for range n {
		id := eventlog.NewID()
		r, err := log.Append(context.Background(), "INVENTORY", "events.stock.main.>", last, eventlog.Envelope{ID: id, Causation: id, Time: noon}, counted("vase", 1, 0))
		if err != nil {
			s.t.Fatal(err)
		}
		last = r.Sequence
	}
}
