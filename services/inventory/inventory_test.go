package inventory

import (
	"fmt"
	"testing"
	"time"

	"lonja/events"
	"lonja/events/command"
	"lonja/events/query"
	"lonja/kit/errs"
	"lonja/kit/eventlog"
	"lonja/kit/service"
	"lonja/shop/shoptest"
)

// store is a shop that runs inventory, with steps and checks for its tests.
type store struct {
	*shoptest.Shop
	t *testing.T
}

func open(t *testing.T, services ...*service.Service) store {
	return store{shoptest.Start(t, services...), t}
}

// has checks the level of a SKU as customers see it, once the view has caught up with the
// log.
func (s store) has(sku events.SKU, onHand, reserved int64) {
	s.t.Helper()
	var got query.StockView
	s.Get(query.Stock{SKU: sku}, customer, eventlog.Position("INVENTORY", s.recorded()), &got)
	if want := (query.StockView{SKU: sku, OnHand: onHand, Reserved: reserved, Available: onHand - reserved}); got != want {
		s.t.Errorf("got %+v, want %+v", got, want)
	}
}

// recorded returns how many events inventory has recorded.
func (s store) recorded() uint64 {
	s.t.Helper()
	stream, err := s.JS.Stream(s.t.Context(), "INVENTORY")
	if err != nil {
		s.t.Fatal(err)
	}
	return stream.CachedInfo().State.LastSeq
}

func about[E events.OfOrder](id events.OrderID) func(E) bool {
	return func(e E) bool { return e.Order() == id }
}

// creates records a product in the catalogue and returns the position.
func (s store) creates(sku events.SKU) string {
	s.t.Helper()
	return s.Record("CATALOG", events.ProductCreated{Product: events.Product{SKU: sku, Name: "A thing", Price: pounds(3)}})
}

// stocks records a product in the catalogue and counts its pieces.
func (s store) stocks(sku events.SKU, pieces int64) {
	s.t.Helper()
	s.creates(sku)
	s.Do(command.CountStock{SKU: sku, OnHand: pieces}, staff, nil)
}

// A SKU that has no product is a typing error. A product that was created a moment ago is
// found, however late the view is.
func TestStock_NeedsAProductOfTheCatalogue(t *testing.T) {
	shop := open(t, New(Config{}))
	for i := range 10 {
		sku := events.SKU(fmt.Sprintf("lamp%d", i))
		shop.Fails(command.CountStock{SKU: sku, OnHand: 7}, staff, errs.NotFound)
		shop.Fails(command.AdjustStock{SKU: sku, Delta: 7, Reason: "found"}, staff, errs.NotFound)
		shop.creates(sku)
		shop.Do(command.AdjustStock{SKU: sku, Delta: 7, Reason: "found"}, staff, nil)
	}
	shop.stocks("vase", 3)
	shop.Record("CATALOG", events.ProductArchived{SKU: "vase"})
	shop.Do(command.CountStock{SKU: "vase", OnHand: 2}, staff, nil)
	shop.has("vase", 2, 0)
	if n := shop.recorded(); n != 10+2 {
		t.Errorf("%d events, want 12", n)
	}
}

func TestStock_IsCountedAndAdjustedByStaff(t *testing.T) {
	shop := open(t, New(Config{}))
	shop.creates("lamp")
	shop.Fails(command.CountStock{SKU: "lamp", OnHand: 7}, customer, errs.Forbidden)

	var level query.StockView
	shop.Do(command.CountStock{SKU: "lamp", OnHand: 7}, staff, &level)
	if level != (query.StockView{SKU: "lamp", OnHand: 7, Available: 7}) {
		t.Errorf("counted %+v", level)
	}
	before := shop.recorded()
	level = query.StockView{}
	shop.Do(command.CountStock{SKU: "lamp", OnHand: 7}, staff, &level)
	if level.OnHand != 7 || shop.recorded() != before {
		t.Errorf("counted the same again: %+v, %d events instead of %d", level, shop.recorded(), before)
	}
	shop.Fails(command.AdjustStock{SKU: "lamp", Delta: -8, Reason: "broken"}, staff, errs.Conflict)
	shop.Do(command.AdjustStock{SKU: "lamp", Delta: -3, Reason: "broken"}, staff, &level)
	if level.OnHand != 4 {
		t.Errorf("adjusted %+v", level)
	}
	shop.has("lamp", 4, 0)
}

// A caller that got no answer sends the same command again, and gets the answer to the
// first one.
func TestAdjust_SentTwiceTakesEffectOnce(t *testing.T) {
	shop := open(t, New(Config{}))
	shop.creates("lamp")
	adjust := command.AdjustStock{SKU: "lamp", Delta: 5, Reason: "found"}
	env := eventlog.Envelope{ID: eventlog.NewID(), Actor: staff}
	first, err := shop.Send(t.Context(), adjust, env)
	if err != nil {
		t.Fatal(err)
	}
	shop.Do(command.CountStock{SKU: "lamp", OnHand: 40}, staff, nil)
	second, err := shop.Send(t.Context(), adjust, env)
	if err != nil || !second.Replayed || string(second.Body) != string(first.Body) || second.Position != first.Position {
		t.Errorf("got %s %+v %v, want %s", second.Body, second, err, first.Body)
	}
	shop.has("lamp", 40, 0)
}

func TestStock_OfANewProductIsZero(t *testing.T) {
	shop := open(t, New(Config{}))
	_, err := shop.Query(t.Context(), query.Stock{SKU: "moon"}, eventlog.Envelope{})
	if !errs.Is(err, errs.NotFound) {
		t.Errorf("a SKU without a product: %v", err)
	}
	_, err = shop.Query(t.Context(), query.Stock{SKU: "no such.sku"}, eventlog.Envelope{})
	if !errs.Is(err, errs.Invalid) {
		t.Errorf("an invalid SKU: %v", err)
	}
	var level query.StockView
	shop.Get(query.Stock{SKU: "vase"}, customer, shop.creates("vase"), &level)
	if level != (query.StockView{SKU: "vase"}) {
		t.Errorf("got %+v, want none", level)
	}
	// Counted first and created later, as an older program allowed, it keeps its level.
	shop.Record("INVENTORY", counted("lamp", 7, 0))
	shop.has("lamp", 7, 0)
	shop.Get(query.Stock{SKU: "lamp"}, customer, shop.creates("lamp"), &level)
	if level.OnHand != 7 {
		t.Errorf("got %+v, want 7 on hand", level)
	}
}

func TestOrder_IsReservedPaidAndCancelled(t *testing.T) {
	shop := open(t, New(Config{}))
	shop.stocks("lamp", 7)
	shop.Record("ORDERS", placed(ana, "lamp", 2, "lamp", 3))
	reserved := shoptest.Await(shop.Shop, about[events.StockReserved](ana))
	if left := time.Until(reserved.ExpiresAt); left < 19*time.Minute || left > 20*time.Minute {
		t.Errorf("it expires in %s, want 20 minutes", left)
	}
	shop.has("lamp", 7, 5)

	shop.Record("ORDERS", placed(bo, "lamp", 3))
	shoptest.Await(shop.Shop, about[events.StockRefused](bo))
	shop.Fails(command.CountStock{SKU: "lamp", OnHand: 4}, staff, errs.Conflict)

	shop.Record("ORDERS", paid(ana, "lamp", 5))
	shoptest.Await(shop.Shop, about[events.StockCommitted](ana))
	shop.has("lamp", 2, 0)

	shop.Record("ORDERS", events.OrderCancelled{OrderID: ana, Reason: events.CancelledByCustomer, WasPaid: true})
	shoptest.Await(shop.Shop, about[events.StockReturned](ana))
	shop.has("lamp", 7, 0)
}

func TestReservation_ExpiresUnpaid(t *testing.T) {
	shop := open(t, New(Config{ReservationTTL: time.Second}))
	shop.stocks("lamp", 7)
	shop.Record("ORDERS", placed(ana, "lamp", 5))
	released := shoptest.Await(shop.Shop, about[events.StockReleased](ana))
	if released.Reason != events.ReleasedExpired {
		t.Errorf("released: %+v", released)
	}
	shop.has("lamp", 7, 0)

	shop.Record("ORDERS", paid(ana, "lamp", 5))
	committed := shoptest.Await(shop.Shop, about[events.StockCommitted](ana))
	if !committed.FromAvailable {
		t.Errorf("the money came late, but: %+v", committed)
	}
	shop.has("lamp", 2, 0)
}

func TestOrders_WaitForAReplicaThatIsAway(t *testing.T) {
	shop := open(t)
	dir := t.TempDir()
	stop := shop.Run(New(Config{}), "a", dir)
	shop.stocks("lamp", 7)
	shop.Record("ORDERS", placed(ana, "lamp", 5))
	shoptest.Await(shop.Shop, about[events.StockReserved](ana))
	if err := stop(); err != nil {
		t.Fatal(err)
	}

	shop.Record("ORDERS", paid(ana, "lamp", 5))
	shop.Record("ORDERS", placed(bo, "lamp", 2))
	shop.Run(New(Config{}), "a", dir)
	shoptest.Await(shop.Shop, about[events.StockCommitted](ana))
	shoptest.Await(shop.Shop, about[events.StockReserved](bo))
	shop.has("lamp", 2, 2)
}

func TestReplicas_NeverOversell(t *testing.T) {
	const pieces, orders = 10, 200
	shop := open(t, New(Config{}))
	shop.Run(New(Config{}), "b", t.TempDir())
	shop.stocks("lamp", pieces)
	for i := range orders {
		shop.Record("ORDERS", placed(events.OrderID(fmt.Sprintf("ord_%d", i)), "lamp", 1))
	}
	got, refused := map[events.OrderID]bool{}, map[events.OrderID]bool{}
	shoptest.Await(shop.Shop, func(e events.StockReserved) bool { got[e.OrderID] = true; return len(got) == pieces })
	shoptest.Await(shop.Shop, func(e events.StockRefused) bool { refused[e.OrderID] = true; return len(refused) == orders-pieces })
	if n := shop.recorded(); n != 1+orders {
		t.Errorf("%d events of one count and %d orders", n, orders)
	}
	for id := range got {
		if refused[id] {
			t.Errorf("%s was reserved and refused", id)
		}
	}
	shop.has("lamp", pieces, pieces)
}
