package orders

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"lonja/events"
	"lonja/events/command"
	"lonja/events/query"
	"lonja/kit/bus"
	"lonja/kit/errs"
	"lonja/kit/eventlog"
	"lonja/kit/service"
	"lonja/shop/shoptest"
)

const origin = "https://shop.example"

func placeOne(sku events.SKU) command.PlaceOrder {
	return command.PlaceOrder{Items: []command.OrderLine{{SKU: sku, Quantity: 1}}}
}

// sells puts a product on offer and returns where that stands.
func sells(shop *shoptest.Shop, sku events.SKU, price int64) string {
	return shop.Record("CATALOG", events.ProductCreated{Product: events.Product{SKU: sku, Name: "A " + string(sku), Price: gbp(price)}})
}

// places orders one piece, under a command id or "" for a fresh one.
func places(t testing.TB, shop *shoptest.Shop, as eventlog.Actor, sku events.SKU, id, after string) (query.OrderView, bus.Reply) {
	t.Helper()
	reply, err := shop.Send(t.Context(), placeOne(sku), eventlog.Envelope{ID: id, Actor: as, After: after})
	if err != nil {
		t.Fatal(err)
	}
	var o query.OrderView
	if err := json.Unmarshal(reply.Body, &o); err != nil {
		t.Fatal(err)
	}
	return o, reply
}

func reservedFor(id events.OrderID) events.Event {
	return events.StockReserved{Location: events.MainLocation, OrderID: id, Lines: items("lantern", 1), ExpiresAt: time.Now().Add(time.Hour)}
}

func requestedFor(o query.OrderView) events.Event {
	return events.PaymentRequested{PaymentID: events.PaymentFor(o.ID), OrderID: o.ID, Amount: o.Total,
		Provider: "sandbox", URL: "/sandbox/payments/1", ExpiresAt: time.Now().Add(time.Hour)}
}

func committedFor(id events.OrderID) events.Event {
	return events.StockCommitted{Location: events.MainLocation, OrderID: id, Lines: items("lantern", 1)}
}

func capturedFor(o query.OrderView) events.Event {
	return events.PaymentCaptured{PaymentID: events.PaymentFor(o.ID), OrderID: o.ID, Amount: o.Total}
}

// reaches waits until an order has had a status, and returns it as it is then.
func reaches(shop *shoptest.Shop, id events.OrderID, as eventlog.Actor, status string) (o query.OrderView) {
	for at, there := uint64(0), false; !there; {
		var steps []query.StatusChange
		shop.Get(query.OrderStatuses{OrderID: id, After: at, Await: 5_000}, as, "", &steps)
		there = len(steps) == 0 // never: the caller sees
		for _, s := range steps {
			at, there = s.Sequence, there || s.Status == status
		}
		// Another replica may answer next, and is to know as much.
		shop.Get(query.Order{OrderID: id, Origin: origin}, as, eventlog.Position("ORDERS", at), &o)
	}
	return o
}

func TestAnOrderGoesAllItsWay(t *testing.T) {
	shop := shoptest.Start(t, New())
	order, receipt := places(t, shop, ana, "lantern", "", sells(shop, "lantern", 339))
	if order.Status != query.Placed || order.CustomerID != "usr_ana" || order.Total != gbp(339) || order.Payment != nil || receipt.EntityID != string(order.ID) {
		t.Fatalf("placed %+v, %+v", order, receipt)
	}

	// Its goods are set aside, which is said twice.
	shop.Record("INVENTORY", reservedFor(order.ID))
	shop.Record("INVENTORY", reservedFor(order.ID))
	waiting := reaches(shop, order.ID, ana, query.AwaitingPayment)
	if waiting.Status != query.AwaitingPayment || waiting.Payment != nil {
		t.Fatalf("reserved, and %+v", waiting)
	}
	shop.Fails(command.ShipOrder{OrderID: order.ID}, rita, errs.Conflict)

	// It is told where to pay, and pays; that is said twice, too.
	after := shop.Record("PAYMENTS", requestedFor(order))
	shop.Get(query.Order{OrderID: order.ID, Origin: origin}, ana, after, &waiting)
	if waiting.Payment == nil || waiting.Payment.URL != origin+"/sandbox/payments/1" || waiting.Payment.Status != query.PaymentPending {
		t.Fatalf("to be paid at %+v", waiting.Payment)
	}
	shop.Record("PAYMENTS", capturedFor(order))
	after = shop.Record("PAYMENTS", capturedFor(order))
	paid := reaches(shop, order.ID, ana, query.Paid)
	shop.Get(query.Order{OrderID: order.ID}, ana, after, &paid) // that stream may be read later than the order's own
	if paid.Status != query.Paid || paid.Payment.Status != query.PaymentCaptured {
		t.Fatalf("captured, and %+v", paid)
	}

	// Its goods are taken off the shelves; it leaves and arrives, and cannot be had back.
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
		t.Fatalf("went %s, want %s", got, want)
	}
	var timeline []query.TimelineEntry
	shop.Get(query.OrderTimeline{OrderID: order.ID}, ana, last.Position, &timeline)
	if len(timeline) != 5+3+3 || timeline[0].Actor != ana.ID || timeline[0].CausationID == "" || timeline[10].Actor != root.ID {
		t.Fatalf("the timeline is %+v", timeline)
	}
}

func TestAnOrderIsShippedOnceItsGoodsAreAllocated(t *testing.T) {
	shop := shoptest.Start(t)
	// It was paid and its goods were committed before this program ran.
	for _, e := range []events.Event{anasOrder("ord_old"), awaiting("ord_old"), paid("ord_old")} {
		shop.Record("ORDERS", e)
	}
	shop.Record("INVENTORY", committedFor("ord_old"))
	shop.Run(New(), "a", t.TempDir())
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

	// It is not shipped before they are, and at once from then on, by any view.
	late := pays()
	shop.Fails(command.ShipOrder{OrderID: late}, rita, errs.Conflict)
	shop.Record("INVENTORY", committedFor(late))
	shop.Do(command.ShipOrder{OrderID: late}, rita, nil)

	// Goods that the stock refuses never leave.
	gone := pays()
	shop.Fails(command.ShipOrder{OrderID: gone}, rita, errs.Conflict)
	shop.Record("INVENTORY", events.StockRefused{Location: events.MainLocation, OrderID: gone})
	if o := reaches(shop, gone, ana, query.Cancelled); o.Status != query.Cancelled || o.CancelReason != events.OutOfStock {
		t.Fatalf("the stock refused, and %+v", o)
	}
	shop.Fails(command.ShipOrder{OrderID: gone}, rita, errs.Conflict)
}

func statusesOf(steps []query.StatusChange) (all []string) {
	for _, s := range steps {
		all = append(all, s.Status)
	}
	return all
}

func TestACancelledOrderStaysCancelled(t *testing.T) {
	shop := shoptest.Start(t, New())
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

func TestAPriceThatChangedIsNotChargedSilently(t *testing.T) {
	shop := shoptest.Start(t, New())
	lantern := events.Product{SKU: "lantern", Name: "Lantern", Price: gbp(339)}
	shop.Record("CATALOG", events.ProductCreated{Product: lantern})
	for price := int64(340); price < 350; price++ {
		lantern.Price = gbp(price)
		after := shop.Record("CATALOG", events.ProductChanged{Product: lantern})
		// Whoever has seen the new price is not told otherwise, whatever the view says yet.
		var placed query.OrderView
		shop.Do(atPrice(price), ana, &placed)
		if placed.Total != gbp(price) {
			t.Fatalf("seen at %d, and placed %+v", price, placed)
		}
		_, err := shop.Send(t.Context(), atPrice(price-1), eventlog.Envelope{Actor: ana, After: after})
		if r, _ := errs.As(err); r == nil || r.Code != errs.Conflict || r.Field != "items[0].unit_price" {
			t.Fatalf("seen at %d, and %v", price-1, err)
		}
	}
	for _, field := range []string{"amount", "currency"} {
		wrong := atPrice(1)
		if field == "amount" {
			wrong.Items[0].UnitPrice.Amount = -1
		} else {
			wrong.Items[0].UnitPrice.Currency = "pounds"
		}
		if r, _ := errs.As(wrong.Check()); r == nil || r.Field != "items[0].unit_price."+field {
			t.Errorf("a wrong %s: %v", field, wrong.Check())
		}
	}
	// A command that says nothing of prices is the one that it always was: what is
	// recorded with it is the hash of its bytes.
	if data, err := json.Marshal(placeOne("lantern")); err != nil || string(data) != `{"items":[{"sku":"lantern","quantity":1}]}` {
		t.Errorf("a command without a price is %s (%v)", data, err)
	}
}

func atPrice(seen int64) command.PlaceOrder {
	price := gbp(seen)
	return command.PlaceOrder{Items: []command.OrderLine{{SKU: "lantern", Quantity: 1, UnitPrice: &price}}}
}

// An order that is left while orders is away is placed at the price that was on
// offer then, or not at all.
func TestAnOrderThatWasLeftIsNotPlacedAtALaterPrice(t *testing.T) {
	shop, dir := shoptest.Start(t), t.TempDir()
	lantern := events.Product{SKU: "lantern", Name: "Lantern", Price: gbp(339)}
	changes := func(price int64) {
		lantern.Price = gbp(price)
		shop.Record("CATALOG", events.ProductChanged{Product: lantern})
	}
	leaves := func(id string, c command.PlaceOrder) {
		t.Helper()
		if err := shop.Defer(t.Context(), c, eventlog.Envelope{ID: id, Actor: ana}); err != nil {
			t.Fatal(err)
		}
	}
	outcome := func(id string) (o bus.Outcome) {
		t.Helper()
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		defer cancel()
		tick := time.NewTicker(10 * time.Millisecond)
		defer tick.Stop()
		for {
			o, _, err := shop.Outcome(ctx, id)
			if err != nil {
				t.Fatal(err)
			}
			if o.Status != bus.Pending {
				return o
			}
			<-tick.C
		}
	}
	shop.Record("CATALOG", events.ProductCreated{Product: lantern})
	stop := shop.Run(New(), "a", dir)
	shop.Do(atPrice(339), ana, nil)
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	// While orders is away, the price changes, the order is left, and the shop comes
	// back with a view that has yet to hear of it.
	changes(400)
	leaves("in-time", placeOne("lantern"))
	stop = shop.Run(New(), "a", dir)
	var placed query.OrderView
	if o := outcome("in-time"); o.Status != bus.Done || json.Unmarshal(o.Result, &placed) != nil || placed.Total != gbp(400) {
		t.Fatalf("left at 400: %s %s, %+v", o.Status, o.Result, o.Problem)
	}
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	leaves("too-early", placeOne("lantern"))
	leaves("foresight", atPrice(500))
	leaves("hindsight", atPrice(400))
	changes(500)
	shop.Run(New(), "a", dir)
	for id, status := range map[string]string{"too-early": bus.Refused, "foresight": bus.Done, "hindsight": bus.Refused} {
		o := outcome(id)
		if o.Status != status || status == bus.Refused && (o.Problem.Code != errs.Conflict || o.Problem.Field != "items[0].unit_price") {
			t.Errorf("%s: %s %s, %+v", id, o.Status, o.Result, o.Problem)
		}
	}
}

func TestACustomerNeverSeesAnothersOrder(t *testing.T) {
	shop := shoptest.Start(t, New())
	after := sells(shop, "lantern", 339)
	anas, _ := places(t, shop, ana, "lantern", "", after)
	beas, receipt := places(t, shop, bea, "lantern", "", after)

	for _, q := range []interface{ QueryName() string }{
		query.Order{OrderID: anas.ID}, query.Order{OrderID: anas.ID, Await: 1}, query.OrderTimeline{OrderID: anas.ID},
		query.OrderStatuses{OrderID: anas.ID}, query.OrderStatuses{OrderID: anas.ID, Await: 1},
	} {
		for who, want := range map[*eventlog.Actor]errs.Code{&bea: errs.NotFound, &nobody: errs.Unauthenticated, &roleful: errs.Unauthenticated} {
			if body, err := shop.Query(t.Context(), q, eventlog.Envelope{Actor: *who, After: receipt.Position}); !errs.Is(err, want) {
				t.Errorf("%+v asks %+v: %v %s, want %s", *who, q, err, body, want)
			}
		}
	}
	shop.Fails(command.CancelOrder{OrderID: anas.ID}, bea, errs.NotFound)

	for _, c := range []struct {
		who  eventlog.Actor
		ask  query.Orders
		want []events.OrderID
	}{
		{bea, query.Orders{}, []events.OrderID{beas.ID}},
		{ana, query.Orders{Status: query.Placed}, []events.OrderID{anas.ID}},
		{ana, query.Orders{Status: query.Paid}, nil},
		{rita, query.Orders{}, []events.OrderID{beas.ID, anas.ID}},
		{rita, query.Orders{Page: query.Page{Page: 2, Limit: 1}}, []events.OrderID{anas.ID}},
	} {
		var list query.List[query.OrderView]
		shop.Get(c.ask, c.who, receipt.Position, &list)
		var got []events.OrderID
		for _, o := range list.Data {
			got = append(got, o.ID)
		}
		if !slices.Equal(got, c.want) || list.Data == nil {
			t.Errorf("%s lists %+v: %v of %d, want %v", c.who.ID, c.ask, got, list.Meta.Total, c.want)
		}
	}
	if _, err := shop.Query(t.Context(), query.Orders{Status: "lost"}, eventlog.Envelope{Actor: ana}); !errs.Is(err, errs.Invalid) {
		t.Errorf("a status that there is not: %v", err)
	}
	if _, err := shop.Query(t.Context(), query.Orders{}, eventlog.Envelope{}); !errs.Is(err, errs.Unauthenticated) {
		t.Errorf("a stranger lists orders: %v", err)
	}
}

// A page that does not fit in one message is refused, with its size; who says that
// they have room for so much gets it in parts.
func TestAListThatIsTooLongForAMessageComesInParts(t *testing.T) {
	shop := shoptest.Start(t, quiet())
	long := anasOrder(anOrder)
	for len(long.Items) < 1_000 {
		long.Items = append(long.Items, long.Items[0])
	}
	var after string
	for i := range 30 {
		long.OrderID = events.OrderID(fmt.Sprintf("ord_%d", i))
		after = shop.Record("ORDERS", long)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	all := query.Orders{Page: query.Page{Limit: 100}}
	env := eventlog.Envelope{Actor: ana, After: after}
	_, err := shop.Query(ctx, all, env)
	var large *bus.TooLargeError
	if !errors.As(err, &large) || !errs.Is(err, errs.Invalid) || large.Reason.Field != "limit" || large.Size < 30*len(long.Items)*50 {
		t.Fatalf("thirty long orders in one message: %v", err)
	}
	body, position, err := shop.QueryInParts(ctx, all, env, large.Size+1_000)
	if err != nil || position == "" {
		t.Fatalf("in parts: %q %v", position, err)
	}
	var together, one query.List[query.OrderView]
	if err := json.Unmarshal(body, &together); err != nil || len(together.Data) != 30 {
		t.Fatalf("%d orders of %d bytes: %v", len(together.Data), len(body), err)
	}
	shop.Get(query.Orders{Page: query.Page{Limit: 1, Page: 17}}, ana, after, &one)
	if !reflect.DeepEqual(one.Data[0], together.Data[16]) || together.Meta.Total != 30 {
		t.Fatal("an order in a long list is another than by itself")
	}
	// Nobody is sent more than they have room for, nor may they have any room.
	if _, _, err := shop.QueryInParts(ctx, all, env, large.Size/2); !errors.As(err, &large) {
		t.Errorf("into half the room: %v", err)
	}
	if _, _, err := shop.QueryInParts(ctx, all, env, service.MaxAnswer+1); !errs.Is(err, errs.Invalid) {
		t.Errorf("into too much room: %v", err)
	}
	// What fits comes as ever, and many large ones at once come one after the other.
	if body, _, err := shop.QueryInParts(ctx, query.Order{OrderID: "ord_0"}, env, 1<<20); err != nil || !json.Valid(body) {
		t.Errorf("one order: %v", err)
	}
	var asking sync.WaitGroup
	for range 20 {
		asking.Go(func() {
			if got, _, err := shop.QueryInParts(ctx, all, env, service.MaxAnswer); err != nil || len(got) != len(body) {
				t.Errorf("at once: %d bytes, %v", len(got), err)
			}
		})
	}
	asking.Wait()
}

// asking sends a query and returns once it is on its way to the service; what
// it is answered comes later.
func asking[T any](t *testing.T, shop *shoptest.Shop, q interface{ QueryName() string }, as eventlog.Actor) <-chan T {
	t.Helper()
	watching := shop.Connect()
	seen, err := watching.SubscribeSync("queries." + q.QueryName())
	if err == nil {
		err = watching.Flush()
	}
	if err != nil {
		t.Fatal(err)
	}
	answered := make(chan T, 1)
	go func() {
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
		defer cancel()
		var out T
		body, err := shop.Query(ctx, q, eventlog.Envelope{Actor: as})
		if err == nil {
			err = json.Unmarshal(body, &out)
		}
		if err != nil {
			t.Errorf("%+v: %v", q, err)
		}
		answered <- out
	}()
	if _, err := seen.NextMsg(10 * time.Second); err != nil {
		t.Fatal(err)
	}
	return answered
}

func TestAnAnswerWaitsForAnOrderThatIsYetToBe(t *testing.T) {
	shop := shoptest.Start(t, New())
	after := sells(shop, "lantern", 339)
	id := eventlog.NewID()
	orderID := events.OrderID(eventlog.NewEntityID("ord_", id))

	answer := asking[query.OrderView](t, shop, query.Order{OrderID: orderID, Await: 15_000}, ana)
	steps := asking[[]query.StatusChange](t, shop, query.OrderStatuses{OrderID: orderID, Await: 15_000}, ana)
	order, _ := places(t, shop, ana, "lantern", id, after)
	if got := <-steps; order.ID != orderID || len(got) == 0 || got[0].Status != query.Placed {
		t.Fatalf("followed %s: %+v", orderID, got)
	}
	// What it waits for is where to pay.
	shop.Record("INVENTORY", reservedFor(orderID))
	reaches(shop, orderID, ana, query.AwaitingPayment)
	shop.Record("PAYMENTS", requestedFor(order))
	if got := <-answer; got.Status != query.AwaitingPayment || got.Payment == nil {
		t.Fatalf("waited for %+v", got)
	}
	// When nothing happens in time, the answer is what there is.
	waits, _ := places(t, shop, ana, "lantern", "", after)
	shop.Get(query.Order{OrderID: waits.ID, Await: 50}, ana, "", &order)
	if order.ID != waits.ID || order.Status != query.Placed {
		t.Fatalf("waited in vain for %+v", order)
	}
}

// Gateways of an older version wait in the service itself, and whoever likes may
// ask for more than there is yet. However many do, others are answered beside them;
// who is one too many hears so at once.
func TestThoseWhoWaitHoldNobodyUp(t *testing.T) {
	shop := shoptest.Start(t, quiet())
	after := shop.Record("ORDERS", anasOrder(anOrder))
	shop.Get(query.Order{OrderID: anOrder}, ana, after, new(json.RawMessage))

	wait := func(n int, q any, name string, env eventlog.Envelope) (answers *nats.Subscription) {
		t.Helper()
		inbox := shop.Conn.NewRespInbox()
		answers, err := shop.Conn.SubscribeSync(inbox)
		if err != nil {
			t.Fatal(err)
		}
		data, _ := json.Marshal(q)
		for range n {
			if err := shop.Conn.PublishMsg(&nats.Msg{Subject: "queries." + name, Reply: inbox, Header: env.Header(), Data: data}); err != nil {
				t.Fatal(err)
			}
		}
		return answers
	}
	wait(1_100, query.Order{OrderID: anOrder, Await: 30_000}, "orders.order", eventlog.Envelope{Actor: ana})
	wait(1_100, query.OrderStatuses{OrderID: anOrder, After: 1, Await: 30_000}, "orders.statuses", eventlog.Envelope{Actor: ana})
	// A place in the log that is not there yet is waited for by nobody.
	ahead := wait(1_100, query.OrderTimeline{OrderID: anOrder}, "orders.timeline", eventlog.Envelope{Actor: ana, After: "ORDERS:1000000"})
	for _, q := range []interface{ QueryName() string }{query.Order{OrderID: anOrder}, query.OrderStatuses{OrderID: anOrder}, query.OrderTimeline{OrderID: anOrder}} {
		shop.Get(q, ana, "", new(json.RawMessage))
	}
	for range 1_100 {
		if m, err := ahead.NextMsg(10 * time.Second); err != nil || m.Header.Get(bus.HeaderErrorCode) != string(errs.Invalid) {
			t.Fatalf("ahead of the log: %v %+v", err, m)
		}
	}

	many := wait(2_600, query.Order{OrderID: anOrder, Await: 30_000}, "orders.order", eventlog.Envelope{Actor: ana})
	refused, err := many.NextMsg(10 * time.Second)
	if err != nil || refused.Header.Get(bus.HeaderErrorCode) != string(errs.Unavailable) {
		t.Fatalf("one too many: %v %+v", err, refused)
	}
	shop.Get(query.Order{OrderID: anOrder}, ana, "", new(json.RawMessage))
}

func TestAServiceThatStopsKeepsNobodyWaiting(t *testing.T) {
	shop := shoptest.Start(t)
	stop := shop.Run(quiet(), "a", t.TempDir())
	after := shop.Record("ORDERS", anasOrder(anOrder))
	var order query.OrderView
	shop.Get(query.Order{OrderID: anOrder}, ana, after, &order)

	answer := asking[query.OrderView](t, shop, query.Order{OrderID: anOrder, Await: 30_000}, ana)
	began := time.Now()
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	if got := <-answer; got.Status != query.Placed || time.Since(began) > 5*time.Second {
		t.Fatalf("after %s: %+v", time.Since(began), got)
	}
}

// race sends two commands at once, perhaps under one id.
func race(t *testing.T, shop *shoptest.Shop, a, b bus.Command, asA, asB eventlog.Envelope) (replies [2]bus.Reply, failed [2]error) {
	var racing sync.WaitGroup
	racing.Go(func() { replies[0], failed[0] = shop.Send(t.Context(), a, asA) })
	racing.Go(func() { replies[1], failed[1] = shop.Send(t.Context(), b, asB) })
	racing.Wait()
	return replies, failed
}

func TestTwoReplicasAreOneService(t *testing.T) {
	shop := shoptest.Start(t, New())
	shop.Run(New(), "b", t.TempDir())
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

		// Cancelled and shipped at once, it is either.
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
				t.Fatalf("went %s, want %s", got, want)
			}
		}
	}
}

// The question that is asked most. Order by id, over NATS, out of 1,000.
func BenchmarkOrder(b *testing.B) {
	shop := shoptest.Start(b, quiet())
	var after string
	for i := range 1_000 {
		after = shop.Record("ORDERS", anasOrder(events.OrderID(fmt.Sprintf("ord_%d", i))))
	}
	var o query.OrderView
	shop.Get(query.Order{OrderID: "ord_999"}, ana, after, &o)
	b.SetParallelism(16)
	b.RunParallel(func(pb *testing.PB) {
		for i := 0; pb.Next(); i++ {
			if _, err := shop.Query(context.Background(), query.Order{OrderID: events.OrderID(fmt.Sprintf("ord_%d", i%1_000)), Origin: origin},
				eventlog.Envelope{Actor: ana}); err != nil {
				b.Error(err)
			}
		}
	})
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "orders/s")
}
