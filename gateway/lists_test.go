package gateway_test

import (
	"fmt"
	"net/url"
	"slices"
	"strings"
	"testing"

	"lonja/events"
	"lonja/events/query"
	"lonja/kit/bus"
	"lonja/kit/errs"
	"lonja/services/orders"
)

// A customer reads through 2,500 orders, page by page, while more are placed.
func TestLists_ThroughManyOrdersWhileMoreArePlaced(t *testing.T) {
	shop := openWith(t, ownMachine, orders.New(orders.Config{}))
	gbp := events.Money{Amount: 100, Currency: "GBP"}
	placed := 0
	place := func(by events.UserID) string {
		placed++
		return shop.Record("ORDERS", events.OrderPlaced{OrderID: events.OrderID(fmt.Sprint("ord_", placed)), CustomerID: by, Total: gbp, TotalItems: 1,
			Items: []events.OrderItem{{SKU: "lamp", Name: "Lamp", Quantity: 1, UnitPrice: gbp, LineTotal: gbp}}})
	}
	const many = 2_500
	var want []events.OrderID // of Ana, newest first
	var after string
	for len(want) < many {
		if after = place("usr_ana"); placed%5 == 0 {
			place("usr_bob")
		}
		want = slices.Insert(want, 0, events.OrderID(strings.Replace(after, "ORDERS:", "ord_", 1)))
	}
	var got []events.OrderID
	for path := "/api/orders?status=placed&limit=100"; path != ""; {
		var page query.List[query.OrderView]
		shop.do("GET", path, nil, "Authorization", shop.ana(), "Consistency-Token", after).expect(200, &page)
		if page.Meta.Total < many || page.Meta.TotalIsAtLeast {
			t.Fatalf("counted %+v", page.Meta)
		}
		for _, o := range page.Data {
			got = append(got, o.ID)
		}
		if path = ""; page.Meta.Next != "" {
			path = "/api/orders?status=placed&limit=100&after=" + url.QueryEscape(page.Meta.Next)
		}
		after = place("usr_ana")
	}
	if !slices.Equal(got, want) {
		t.Fatalf("%d orders, want %d: %v", len(got), len(want), got)
	}
	// By number there is an end.
	for path, field := range map[string]string{"page=101&limit=100": "page", "page=501": "page", "page=1&after=x": "after", "after=x": "after"} {
		shop.do("GET", "/api/orders?"+path, nil, "Authorization", shop.ana()).expectProblem(422, errs.Invalid, field)
	}
	var last query.List[query.OrderView]
	shop.do("GET", "/api/orders?page=100&limit=100", nil, "Authorization", shop.ana()).expect(200, &last)
	if len(last.Data) != 0 || last.Meta.Page != 100 || last.Meta.Next != "" {
		t.Errorf("page 100 is %+v", last)
	}
}

// Dead letters are dropped while somebody reads them.
func TestLists_DeadLettersAfterOneThatIsGone(t *testing.T) {
	shop := open(t)
	queue := bus.NewDeadLetterQueue(shop.JS)
	var ids []uint64
	for seq := range uint64(7) {
		if _, err := queue.Add(t.Context(), bus.DeadLetter{Consumer: "orders-on-stock", Stream: "INVENTORY", Sequence: seq + 1, Subject: "events.stock.main.reserved", Reason: "a bug", Data: "{}"}); err != nil {
			t.Fatal(err)
		}
	}
	for path := "/api/deadletters?limit=2"; path != ""; {
		var page query.List[bus.DeadLetter]
		shop.do("GET", path, nil, "Authorization", shop.staff()).expect(200, &page)
		for _, l := range page.Data {
			ids = append(ids, l.ID)
			if err := queue.Drop(t.Context(), l.ID); err != nil {
				t.Fatal(err)
			}
		}
		if path = ""; page.Meta.Next != "" {
			path = "/api/deadletters?limit=2&after=" + page.Meta.Next
		}
	}
	if want := []uint64{1, 2, 3, 4, 5, 6, 7}; !slices.Equal(ids, want) {
		t.Errorf("listed %v, want %v", ids, want)
	}
	shop.do("GET", "/api/deadletters?after=x", nil, "Authorization", shop.staff()).expectProblem(422, errs.Invalid, "after")
}
