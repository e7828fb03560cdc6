package gateway_test

import (
	"fmt"
	"strings"
	"sync"
	"testing"

	"lonja/events"
	"lonja/events/query"
	"lonja/kit/bus"
	"lonja/shop/shoptest"
)

// A page of any size that may be asked for comes, whatever stands in it.
func TestLists_PageOfTheLargestEntriesIsServed(t *testing.T) {
	shop := openWhole(t)
	_, me := shop.registers("ana")
	ana := "Bearer " + me.AccessToken
	const products, orders, lines = 100, 12, 1_000
	seen := ""
	for i := range products {
		seen = shop.Record("CATALOG", events.ProductCreated{Product: events.Product{SKU: events.SKU(fmt.Sprintf("sku-%d", i)), Name: "Lantern",
			Description: strings.Repeat("\u00e4", 10_000), Price: events.Money{Amount: 100, Currency: "GBP"}}})
	}
	long := events.OrderPlaced{CustomerID: me.User.ID, Total: events.Money{Amount: 100 * lines, Currency: "GBP"}, TotalItems: lines}
	for range lines {
		long.Items = append(long.Items, events.OrderItem{SKU: "sku-1", Name: strings.Repeat("n", 200), Quantity: 1,
			UnitPrice: events.Money{Amount: 100, Currency: "GBP"}, LineTotal: events.Money{Amount: 100, Currency: "GBP"}})
	}
	for i := range orders {
		long.OrderID = events.OrderID(fmt.Sprintf("ord_%d", i))
		seen += "." + shop.Record("ORDERS", long)
	}
	shoptest.Await(shop.Shop, func(e events.OrderCancelled) bool { return e.OrderID == long.OrderID }) // there is nothing in stock

	var listed query.List[query.ProductView]
	shop.do("GET", "/api/products?limit=100", nil, "Consistency-Token", seen).expect(200, &listed)
	if len(listed.Data) != products || listed.Meta.Total != products {
		t.Errorf("%d products of %+v", len(listed.Data), listed.Meta)
	}
	var asking sync.WaitGroup
	for _, who := range []string{ana, shop.admin, ana, shop.admin, ana, shop.admin} {
		asking.Go(func() {
			var placed query.List[query.OrderView]
			r := shop.do("GET", "/api/orders?limit=100", nil, "Authorization", who, "Consistency-Token", seen).expect(200, &placed)
			if len(placed.Data) != orders || len(placed.Data[0].Items) != lines || r.Header.Get("Consistency-Token") == "" {
				t.Errorf("%d orders in %d bytes, %v", len(placed.Data), len(r.body), r.Header)
			}
		})
	}
	asking.Wait()
	shop.do("GET", "/api/orders/ord_3/timeline", nil, "Authorization", ana).expect(200, nil)
}

func TestDeadLetters_OfAnySizeAreListed(t *testing.T) {
	f := open(t)
	box := bus.NewDeadLetterQueue(f.JS)
	const letters = 30
	for seq := range uint64(letters) {
		if _, err := box.Add(t.Context(), bus.DeadLetter{Consumer: "orders-on-stock", Stream: "INVENTORY", Sequence: seq + 1,
			Subject: "events.stock.main.reserved", Reason: "a bug", Data: strings.Repeat("\x01", 900_000)}); err != nil {
			t.Fatal(err)
		}
	}
	var list query.List[bus.DeadLetter]
	r := f.do("GET", "/api/deadletters?limit=25&page=1", nil, "Authorization", f.staff()).expect(200, &list)
	if len(list.Data) != 25 || len(list.Data[24].Data) != 900_000 || list.Meta.Total != letters || list.Meta.LastPage != 2 {
		t.Errorf("%d letters in %d bytes, of %+v", len(list.Data), len(r.body), list.Meta)
	}
	if r.ContentLength >= 0 || r.Header.Get("Content-Type") != "application/json" {
		t.Errorf("they were gathered before they were sent: %v", r.Header)
	}
	f.do("GET", "/api/deadletters?limit=25&page=3", nil, "Authorization", f.staff()).expect(200, &list)
	if len(list.Data) != 0 || list.Data == nil || list.Meta.Page != 3 {
		t.Errorf("after the end %+v", list)
	}
}
