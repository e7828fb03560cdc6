package orders

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"sync"
	"testing"
	"time"

	"lonja/events"
	"lonja/events/command"
	"lonja/events/query"
	"lonja/kit/bus"
	"lonja/kit/errs"
	"lonja/kit/eventlog"
	"lonja/kit/service"
	"lonja/shop/shoptest"
)

func TestQueries_CustomersSeeOnlyTheirOwnOrders(t *testing.T) {
	shop := shoptest.Start(t, New(Config{}))
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
		t.Errorf("an unknown status: %v", err)
	}
	if _, err := shop.Query(t.Context(), query.Orders{}, eventlog.Envelope{}); !errs.Is(err, errs.Unauthenticated) {
		t.Errorf("orders without an actor: %v", err)
	}
}

// A page that does not fit in one message is rejected, with its size. A caller that has room
// for so much gets it in parts.
func TestQueries_LargeListComesInParts(t *testing.T) {
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
		t.Fatal("an order in a long list differs from the same order alone")
	}
	// A caller is sent no more than it has room for, and may not ask for any room.
	if _, _, err := shop.QueryInParts(ctx, all, env, large.Size/2); !errors.As(err, &large) {
		t.Errorf("into half the room: %v", err)
	}
	if _, _, err := shop.QueryInParts(ctx, all, env, service.MaxAnswerSize+1); !errs.Is(err, errs.Invalid) {
		t.Errorf("into too much room: %v", err)
	}
	// A small answer comes in one message, and many large ones at once come one after the other.
	if body, _, err := shop.QueryInParts(ctx, query.Order{OrderID: "ord_0"}, env, 1<<20); err != nil || !json.Valid(body) {
		t.Errorf("one order: %v", err)
	}
	var asking sync.WaitGroup
	for range 20 {
		asking.Go(func() {
			if got, _, err := shop.QueryInParts(ctx, all, env, service.MaxAnswerSize); err != nil || len(got) != len(body) {
				t.Errorf("at once: %d bytes, %v", len(got), err)
			}
		})
	}
	asking.Wait()
}
