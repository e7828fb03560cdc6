package orders

import (
	"cmp"
	"errors"
	"fmt"
	"sync"
	"testing"

	"lonja/events"
	"lonja/events/command"
	"lonja/events/query"
	"lonja/kit/bus"
	"lonja/kit/errs"
	"lonja/kit/eventlog"
	"lonja/shop/shoptest"
)

// race sends two commands at once, perhaps under one id.
func race(t *testing.T, shop *shoptest.Shop, a, b bus.Command, asA, asB eventlog.Envelope) (replies [2]bus.Reply, failed [2]error) {
	var racing sync.WaitGroup
	racing.Go(func() { replies[0], failed[0] = shop.Send(t.Context(), a, asA) })
	racing.Go(func() { replies[1], failed[1] = shop.Send(t.Context(), b, asB) })
	racing.Wait()
	return replies, failed
}

func TestReplicas_ActAsOneService(t *testing.T) {
	shop := shoptest.Start(t, New(Config{}))
	shop.Run(New(Config{}), "b", t.TempDir())
	after := sells(shop, "lantern", 339)

	for range 12 {
		// Sent twice at once, it is one order.
		env := eventlog.Envelope{ID: eventlog.NewID(), Actor: ana, After: after}
		replies, failed := race(t, shop, placeOne("lantern"), placeOne("lantern"), env, env)
		if err := errors.Join(failed[:]...); err != nil || replies[0].Position != replies[1].Position || replies[0].Replayed == replies[1].Replayed {
			t.Fatalf("sent twice: %+v, %v", replies, err)
		}
		id := events.OrderID(replies[0].EntityID)

		// Reserved and captured twice, it is paid once.
		for range 2 {
			shop.Record("INVENTORY", reservedFor(id))
			shop.Record("PAYMENTS", events.PaymentCaptured{PaymentID: events.PaymentFor(id), OrderID: id, Amount: gbp(339)})
		}
		if o := reaches(shop, id, ana, query.Paid); o.Status != query.Paid {
			t.Fatalf("captured, and %+v", o)
		}

		// Cancelled and shipped at once, it becomes one of the two.
		shop.Record("INVENTORY", committedFor(id))
		replies, failed = race(t, shop, command.CancelOrder{OrderID: id}, command.ShipOrder{OrderID: id}, eventlog.Envelope{Actor: ana}, eventlog.Envelope{Actor: rita})
		won, want := replies[0], "[placed awaiting_payment paid cancelled]"
		if failed[0] != nil {
			won, want = replies[1], "[placed awaiting_payment paid shipped]"
		}
		if (failed[0] == nil) == (failed[1] == nil) || !errs.Is(cmp.Or(failed[0], failed[1]), errs.Conflict) {
			t.Fatalf("cancelled and shipped at once: %v", failed)
		}
		for range 4 { // by either replica
			var steps []query.StatusChange
			shop.Get(query.OrderStatuses{OrderID: id}, ana, won.Position, &steps)
			if got := fmt.Sprint(statusesOf(steps)); got != want {
				t.Fatalf("the statuses are %s, want %s", got, want)
			}
		}
	}
}
