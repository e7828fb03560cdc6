package orders

import (
	"context"
	"database/sql"
	"flag"
	"fmt"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"lonja/events"
	"lonja/events/query"
	"lonja/kit/eventlog"
	"lonja/shop/shoptest"
)

// BenchmarkOrder measures the most frequent query: an order by id, over NATS, out of 1,000.
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

// BenchmarkLists measures lists over NATS, out of a million orders; -orders has another number. The rows are
// written past the view, since a million events would take minutes.
func BenchmarkLists(b *testing.B) {
	shop, dir, svc := shoptest.Start(b), b.TempDir(), quiet()
	shop.Run(svc, "a", dir)
	fill(b, dir, *manyOrders)
	ana := eventlog.Actor{ID: customerOf(4), Roles: []string{events.Customer}}
	heavy := eventlog.Actor{ID: customerOf(0), Roles: []string{events.Customer}}
	for _, c := range []struct {
		name string
		who  eventlog.Actor
		ask  query.Orders
		deep bool // after a cursor from the middle of the list
	}{
		{"a customer by status", ana, query.Orders{Status: query.Delivered}, false},
		{"a customer with a tenth of all", heavy, query.Orders{}, false},
		{"theirs by status", heavy, query.Orders{Status: query.Paid}, false},
		{"theirs, page 500", heavy, query.Orders{Page: query.Page{Page: 500}}, false},
		{"staff", rita, query.Orders{}, false},
		{"staff, page 500", rita, query.Orders{Page: query.Page{Page: 500}}, false},
		{"staff by status", rita, query.Orders{Status: query.Delivered}, false},
		{"staff after a cursor", rita, query.Orders{}, true},
		{"staff by status after a cursor", rita, query.Orders{Status: query.Delivered}, true},
	} {
		b.Run(c.name, func(b *testing.B) {
			if c.deep {
				page, err := query.SectionOf[int64](query.Page{}, "orders.orders", "", c.ask.Status)
				if err != nil {
					b.Fatal(err)
				}
				c.ask.After = page.Next(int64(*manyOrders/2), true)
			}
			var list query.List[query.OrderView]
			shop.Get(c.ask, c.who, "", &list)
			if len(list.Data) != 20 {
				b.Fatalf("%d orders of %+v", len(list.Data), list.Meta)
			}
			took := make([]time.Duration, 0, 1000)
			for b.Loop() {
				began := time.Now()
				if _, err := shop.Query(b.Context(), c.ask, eventlog.Envelope{Actor: c.who}); err != nil {
					b.Fatal(err)
				}
				took = append(took, time.Since(began))
			}
			slices.Sort(took)
			b.ReportMetric(float64(took[len(took)/2].Microseconds())/1000, "ms-p50")
		})
	}
}

var manyOrders = flag.Int("orders", 1_000_000, "how many orders BenchmarkLists has")

// customerOf is one of the customers of fill.
func customerOf(n int) string { return fmt.Sprintf("usr_%032x", n) }

// fill writes orders into a view's file. Customer 0 has each tenth of them, the others some 200.
func fill(b *testing.B, dir string, orders int) {
	b.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "*", "*", "book-*.db"))
	if direct, _ := filepath.Glob(filepath.Join(dir, "book-*.db")); len(direct) > 0 {
		files = direct
	}
	if err != nil || len(files) != 1 {
		b.Fatalf("the view's files are %v, %v", files, err)
	}
	db, err := sql.Open("sqlite", "file:"+files[0]+"?_pragma=busy_timeout(5000)")
	if err != nil {
		b.Fatal(err)
	}
	defer db.Close()
	goods := `"currency":"GBP","total":{"amount":1617,"currency":"GBP"},"total_items":2,"items":[{"sku":"lantern","name":"A lantern","quantity":2,` +
		`"unit_price":{"amount":800,"currency":"GBP"},"line_total":{"amount":1600,"currency":"GBP"}}]`
	if _, err := db.Exec(`WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?1)
		INSERT INTO placed_orders (number, id, customer, status, created, updated, goods)
		SELECT i, randomblob(16), unhex(format('%032x', iif(i % 10 = 0, 0, 1 + i % (?1 / 200)))), iif(i % 50 < 40, 4, i % 6), '2026-01-01T00:00:00Z', '2026-01-02T00:00:00Z', ?2 FROM n`, orders, goods); err != nil {
		b.Fatal(err)
	}
}
