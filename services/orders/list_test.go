package orders

import (
	"database/sql"
	"fmt"
	"path/filepath"
	"slices"
	"testing"

	_ "modernc.org/sqlite"
	"pgregory.net/rapid"

	"lonja/events"
	"lonja/events/query"
	"lonja/kit/errs"
	"lonja/kit/eventlog"
	"lonja/shop/shoptest"
)

// placedBy records an order of a customer.
func placedBy(shop *shoptest.Shop, id events.OrderID, customer events.UserID) (position string) {
	o := anasOrder(id)
	o.CustomerID = customer
	return shop.Record("ORDERS", o)
}

// Whoever pages through a list sees each order once that was there all the time, newest first,
// whatever is placed and paid meanwhile.
func TestOrders_PagesHoldWhileOrdersArePlaced(t *testing.T) {
	shop := shoptest.Start(t, quiet())
	n := 0
	rapid.Check(t, func(rt *rapid.T) {
		n++
		customers := []events.UserID{events.UserID(fmt.Sprint("usr_a", n)), events.UserID(fmt.Sprint("usr_b", n))}
		var there []query.OrderView // newest first
		var after string
		place := func(customer events.UserID) {
			id := events.OrderID(fmt.Sprintf("ord_%d_%d", n, len(there)))
			after = placedBy(shop, id, customer)
			there = slices.Insert(there, 0, query.OrderView{ID: id, CustomerID: customer})
		}
		for range rapid.IntRange(0, 12).Draw(rt, "at first") {
			place(rapid.SampledFrom(customers).Draw(rt, "by"))
		}
		ask, who := query.Orders{Page: query.Page{Limit: rapid.IntRange(1, 5).Draw(rt, "limit")}}, eventlog.Actor{ID: string(customers[0]), Roles: []string{events.Customer}}
		if rapid.Bool().Draw(rt, "staff") {
			ask.Customer, who = customers[0], rita
		}
		if rapid.Bool().Draw(rt, "by status") {
			ask.Status = query.Placed
		}
		var want, got []events.OrderID
		for _, o := range there {
			if o.CustomerID == customers[0] {
				want = append(want, o.ID)
			}
		}
		for more := true; more; {
			var list query.List[query.OrderView]
			shop.Get(ask, who, after, &list)
			for _, o := range list.Data {
				got = append(got, o.ID)
			}
			if size := len(list.Data); list.Meta.Next != "" && size != ask.Limit || size > ask.Limit {
				rt.Fatalf("a page has %d of %d orders, and then %q", size, ask.Limit, list.Meta.Next)
			}
			ask.Page, more = ask.Page.Following(list.Meta)
			for range rapid.IntRange(0, 3).Draw(rt, "meanwhile") {
				place(rapid.SampledFrom(customers).Draw(rt, "by"))
			}
		}
		if !slices.Equal(got, want) {
			rt.Fatalf("listed %v, want %v", got, want)
		}
	})
}

func TestOrders_CursorIsOfOneListOnly(t *testing.T) {
	shop := shoptest.Start(t, quiet())
	var after string
	for i := range 3 {
		after = placedBy(shop, events.OrderID(fmt.Sprint("ord_", i)), events.UserID(ana.ID))
	}
	var list query.List[query.OrderView]
	shop.Get(query.Orders{Page: query.Page{Limit: 1}}, ana, after, &list)
	next := query.Page{Limit: 1, After: list.Meta.Next}
	for _, c := range []struct {
		ask query.Orders
		who eventlog.Actor
	}{
		{query.Orders{Page: next}, bea},                         // another customer's
		{query.Orders{Page: next}, rita},                        // everybody's
		{query.Orders{Page: next, Status: query.Placed}, ana},   // other filters
		{query.Orders{Page: query.Page{After: "nothing"}}, ana}, // no cursor
		{query.Orders{Page: query.Page{Page: 1, After: next.After}}, ana},
	} {
		_, err := shop.Query(t.Context(), c.ask, eventlog.Envelope{Actor: c.who})
		if r, ok := errs.As(err); !ok || r.Code != errs.Invalid || r.Field != "after" {
			t.Errorf("%s asks %+v: %v", c.who.ID, c.ask, err)
		}
	}
	// Staff who look at the customer's orders see the same list.
	var ofStaff query.List[query.OrderView]
	shop.Get(query.Orders{Page: next, Customer: events.UserID(ana.ID)}, rita, after, &ofStaff)
	if len(ofStaff.Data) != 1 || ofStaff.Data[0].ID != "ord_1" || ofStaff.Meta.Page != 0 {
		t.Errorf("%+v", ofStaff)
	}
	// A customer has no orders of others.
	shop.Get(query.Orders{Customer: events.UserID(bea.ID)}, ana, after, &list)
	if len(list.Data) != 0 || list.Data == nil || list.Meta.Total != 0 {
		t.Errorf("%+v", list)
	}
	_, err := shop.Query(t.Context(), query.Orders{Page: query.Page{Page: 501}}, eventlog.Envelope{Actor: ana})
	if r, ok := errs.As(err); !ok || r.Code != errs.Invalid || r.Field != "page" {
		t.Errorf("page 501: %v", err)
	}
}

// However many orders there are, a list reads the part of an index that it shows, and sorts nothing.
func TestOrders_EachListHasAnIndex(t *testing.T) {
	db, err := sql.Open("sqlite", filepath.Join(t.TempDir(), "x.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if _, err := db.Exec(ordersDefinition.Schema); err != nil {
		t.Fatal(err)
	}
	for selected, want := range map[selection]string{
		{}:                        "SEARCH placed_orders USING INTEGER PRIMARY KEY (rowid<?)",
		{customer: "usr_1"}:       "SEARCH placed_orders USING COVERING INDEX orders_of_customer (customer=? AND rowid<?)",
		{status: query.Cancelled}: "SEARCH placed_orders USING COVERING INDEX orders_by_status (status=? AND rowid<?)",
		{"usr_1", query.Paid}:     "SEARCH placed_orders USING COVERING INDEX orders_of_customer_by_status (customer=? AND status=? AND rowid<?)",
	} {
		where, args := selected.where()
		rows, err := db.Query("EXPLAIN QUERY PLAN SELECT number FROM placed_orders WHERE "+where+" AND number < ? ORDER BY number DESC LIMIT 21", append(args, 7)...)
		if err != nil {
			t.Fatal(err)
		}
		var plan []string
		for rows.Next() {
			var id, parent, unused int
			var step string
			if err := rows.Scan(&id, &parent, &unused, &step); err != nil {
				t.Fatal(err)
			}
			plan = append(plan, step)
		}
		if err := rows.Err(); err != nil || !slices.Equal(plan, []string{want}) {
			t.Errorf("%+v: %q, %v", selected, plan, err)
		}
	}
}
