package audit

import (
	"fmt"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"lonja/events"
	"lonja/kit/eventlog"
	"lonja/shop/shoptest"
)

// BenchmarkAudit audits a log of 100,000 events: orders on their whole way.
func BenchmarkAudit(b *testing.B) {
	const orders = 12_500
	shop := shoptest.Start(b)
	publish := func(e events.Event) {
		data, err := events.Encode(e)
		if err != nil {
			b.Fatal(err)
		}
		compactID := eventlog.NewID()
		header := eventlog.Envelope{ID: compactID, Type: events.Type(e), Causation: eventlog.DeriveID(compactID), Time: time.Now(), Source: "lonja/bench",
			Correlation: compactID, Actor: eventlog.Actor{ID: "service:bench"}}.Header()
		if _, err := shop.JS.PublishMsgAsync(&nats.Msg{Subject: events.Subject(e), Header: header, Data: data}); err != nil {
			b.Fatal(err)
		}
	}
	publish(productCreated)
	publish(stockCounted(1_000_000, 0))
	for n := range orders {
		compactID := events.OrderID(fmt.Sprintf("ord_%032x", n))
		pay := events.PaymentFor(compactID)
		for _, e := range []events.Event{
			events.OrderPlaced{OrderID: compactID, CustomerID: "usr_ana", Items: lines(2), Total: gbp(678), TotalItems: 2},
			events.StockReserved{Location: "main", OrderID: compactID, Lines: lanterns(2)},
			events.OrderAwaitingPayment{OrderID: compactID, Amount: gbp(678)},
			events.PaymentRequested{PaymentID: pay, OrderID: compactID, Amount: gbp(678), Provider: "sandbox", URL: "/pay"},
			events.PaymentCaptured{PaymentID: pay, OrderID: compactID, Amount: gbp(678)},
			events.OrderPaid{OrderID: compactID, PaymentID: pay, Amount: gbp(678), Lines: lanterns(2)},
			events.StockCommitted{Location: "main", OrderID: compactID, Lines: lanterns(2)},
			events.OrderShipped{OrderID: compactID},
		} {
			publish(e)
		}
		if n%100 == 0 || n == orders-1 {
			<-shop.JS.PublishAsyncComplete()
		}
	}
	b.ReportAllocs()
	for b.Loop() {
		r, err := Run(b.Context(), Config{JetStream: shop.JS, Codec: shoptest.Codec, Streams: shop.Streams})
		if err != nil || r.Total() > 0 || r.Orders["shipped"] != orders {
			b.Fatal(r, err)
		}
	}
	b.ReportMetric(float64(b.N)*8*orders/b.Elapsed().Seconds(), "events/s")
}
