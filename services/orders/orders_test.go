package orders

import (
	"fmt"
	"testing"

	"lonja/events"
	"lonja/events/command"
	"lonja/events/query"
	"lonja/kit/errs"
	"lonja/shop/shoptest"
)

func TestOrder_FromPlacedToDelivered(t *testing.T) {
	shop := shoptest.Start(t, New(Config{}))
	order, receipt := places(t, shop, ana, "lantern", "", sells(shop, "lantern", 339))
	if order.Status != query.Placed || order.CustomerID != "usr_ana" || order.Total != gbp(339) || order.Payment != nil || receipt.EntityID != string(order.ID) {
		t.Fatalf("placed %+v, %+v", order, receipt)
	}

	// Its goods are reserved; the event arrives twice.
	shop.Record("INVENTORY", reservedFor(order.ID))
	shop.Record("INVENTORY", reservedFor(order.ID))
	waiting := reaches(shop, order.ID, ana, query.AwaitingPayment)
	if waiting.Status != query.AwaitingPayment || waiting.Payment != nil {
		t.Fatalf("reserved, and %+v", waiting)
	}
	shop.Fails(command.ShipOrder{OrderID: order.ID}, rita, errs.Conflict)

	// The customer sees where to pay, and pays; that event arrives twice, too.
	after := shop.Record("PAYMENTS", requestedFor(order))
	shop.Get(query.Order{OrderID: order.ID, Origin: origin}, ana, after, &waiting)
	if waiting.Payment == nil || waiting.Payment.URL != origin+"/sandbox/payments/1" || waiting.Payment.Status != query.PaymentPending {
		t.Fatalf("to be paid at %+v", waiting.Payment)
	}
	shop.Record("PAYMENTS", capturedFor(order))
	after = shop.Record("PAYMENTS", capturedFor(order))
	paid := reaches(shop, order.ID, ana, query.Paid)
	shop.Get(query.Order{OrderID: order.ID}, ana, after, &paid) // the view may read PAYMENTS later than ORDERS
	if paid.Status != query.Paid || paid.Payment.Status != query.PaymentCaptured {
		t.Fatalf("captured, and %+v", paid)
	}

	// Its goods are committed; it is shipped and delivered, and cannot be cancelled.
	shop.Record("INVENTORY", committedFor(order.ID))
	shop.Fails(command.ShipOrder{OrderID: order.ID}, ana, errs.Forbidden)
	shop.Do(command.ShipOrder{OrderID: order.ID}, rita, nil)
	shop.Fails(command.CancelOrder{OrderID: order.ID}, ana, errs.Conflict)
	var arrived query.OrderView
	last := shop.Do(command.DeliverOrder{OrderID: order.ID}, root, &arrived)
	if arrived.Status != query.Delivered {
		t.Fatalf("delivered, and %+v", arrived)
	}

	var steps []query.StatusChange
	shop.Get(query.OrderStatuses{OrderID: order.ID}, ana, last.Position, &steps)
	if got, want := fmt.Sprint(statusesOf(steps)), "[placed awaiting_payment paid shipped delivered]"; got != want {
		t.Fatalf("the statuses are %s, want %s", got, want)
	}
	var timeline []query.TimelineEntry
	shop.Get(query.OrderTimeline{OrderID: order.ID}, ana, last.Position, &timeline)
	if len(timeline) != 5+3+3 || timeline[0].Actor != ana.ID || timeline[0].CausationID == "" || timeline[10].Actor != root.ID {
		t.Fatalf("the timeline is %+v", timeline)
	}
}

func TestShip_WaitsForCommittedGoods(t *testing.T) {
	shop := shoptest.Start(t)
	// One order was paid, and its goods committed, before the service started.
	for _, e := range []events.Event{anasOrder("ord_old"), awaiting("ord_old"), paid("ord_old")} {
		shop.Record("ORDERS", e)
	}
	shop.Record("INVENTORY", committedFor("ord_old"))
	shop.Run(New(Config{}), "a", t.TempDir())
	shop.Do(command.ShipOrder{OrderID: "ord_old"}, rita, nil)

	after := sells(shop, "lantern", 339)
	pays := func() events.OrderID {
		t.Helper()
		order, _ := places(t, shop, ana, "lantern", "", after)
		shop.Record("INVENTORY", reservedFor(order.ID))
		if o := reaches(shop, order.ID, ana, query.AwaitingPayment); o.Status != query.AwaitingPayment {
			t.Fatalf("reserved, and %+v", o)
		}
		shop.Record("PAYMENTS", capturedFor(order))
		if o := reaches(shop, order.ID, ana, query.Paid); o.Status != query.Paid {
			t.Fatalf("captured, and %+v", o)
		}
		return order.ID
	}

	// An order is not shipped before its goods are committed, and at once afterwards.
	late := pays()
	shop.Fails(command.ShipOrder{OrderID: late}, rita, errs.Conflict)
	shop.Record("INVENTORY", committedFor(late))
	shop.Do(command.ShipOrder{OrderID: late}, rita, nil)

	// Goods that inventory refuses are never shipped.
	gone := pays()
	shop.Fails(command.ShipOrder{OrderID: gone}, rita, errs.Conflict)
	shop.Record("INVENTORY", events.StockRefused{Location: events.MainLocation, OrderID: gone})
	if o := reaches(shop, gone, ana, query.Cancelled); o.Status != query.Cancelled || o.CancelReason != events.OutOfStock {
		t.Fatalf("refused, and %+v", o)
	}
	shop.Fails(command.ShipOrder{OrderID: gone}, rita, errs.Conflict)
}

func statusesOf(steps []query.StatusChange) (all []string) {
	for _, s := range steps {
		all = append(all, s.Status)
	}
	return all
}

func TestOrder_StaysCancelled(t *testing.T) {
	shop := shoptest.Start(t, New(Config{}))
	after := sells(shop, "lantern", 339)

	early, _ := places(t, shop, ana, "lantern", "", after)
	var gone query.OrderView
	shop.Do(command.CancelOrder{OrderID: early.ID}, ana, &gone)
	again := shop.Do(command.CancelOrder{OrderID: early.ID}, rita, nil)
	shop.Record("INVENTORY", reservedFor(early.ID))
	shop.Record("PAYMENTS", capturedFor(early))

	late, _ := places(t, shop, ana, "lantern", "", after)
	shop.Record("INVENTORY", events.StockRefused{Location: events.MainLocation, OrderID: late.ID})
	if o := reaches(shop, late.ID, ana, query.Cancelled); o.Status != query.Cancelled || o.CancelReason != events.OutOfStock {
		t.Fatalf("out of stock, and %+v", o)
	}
	shop.Get(query.Order{OrderID: early.ID}, ana, again.Position, &gone)
	if gone.Status != query.Cancelled || gone.CancelReason != events.CancelledByCustomer {
		t.Fatalf("cancelled early, and %+v", gone)
	}
}
