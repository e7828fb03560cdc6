package orders

import (
	"context"
	"fmt"
	"testing"

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
