package main

import (
	"context"
	"fmt"
	"path/filepath"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"lonja"
	"lonja/events"
	"lonja/kit/eventlog"
	"lonja/kit/streams"
)

// rebuilt is the measurement of rebuilding a view from the log.
type rebuilt struct {
	count, dataSize int // how many, and how long each on average
	took, cpu       time.Duration
	limit           float64 // rows a second straight into SQLite
}

// rebuild fills a log with events of paid orders, starts the orders service with an
// empty folder, and waits until its view has applied them all.
func rebuild(ctx context.Context, l *limits, program string, count int, limitFor time.Duration) (r rebuilt, err error) {
	server, err := start(ctx, l.self, "broker", filepath.Join(l.dir, "rebuild-log"), "relaxed")
	if err != nil {
		return r, err
	}
	defer server.stop()
	conn, err := nats.Connect(server.output["nats"])
	if err != nil {
		return r, err
	}
	defer conn.Close()
	js, err := jetstream.New(conn)
	if err != nil {
		return r, err
	}
	if r.count, r.dataSize, err = fillLog(ctx, js, count); err != nil {
		return r, err
	}
	began := time.Now()
	service, err := start(ctx, program, "service", "orders", "--nats", server.output["nats"], "--data", filepath.Join(l.dir, "rebuild-views"))
	if err != nil {
		return r, err
	}
	defer service.stop()
	if err := awaitView(ctx, js, "feeds the view book", 3); err != nil {
		return r, err
	}
	r.took = time.Since(began)
	if r.cpu, err = service.cpu(); err != nil {
		return r, err
	}
	return r, r.measureLimit(ctx, l, limitFor)
}

func (r *rebuilt) measureLimit(ctx context.Context, l *limits, d time.Duration) error {
	p, err := start(ctx, l.self, "sqlite", l.dir, strconv.Itoa(r.dataSize), d.String())
	if err != nil {
		return err
	}
	defer p.stop()
	r.limit, err = strconv.ParseFloat(p.output["rows"], 64)
	return err
}

// fillLog creates the streams and publishes the events of paid orders until there
// are enough. The shared consumers start after them, as when only a view is rebuilt.
func fillLog(ctx context.Context, js jetstream.JetStream, count int) (n, size int, err error) {
	config, err := streams.Parse(lonja.StreamsYAML)
	if err != nil {
		return 0, 0, err
	}
	for _, s := range config.Streams {
		if _, err := js.CreateStream(ctx, s.StreamConfig); err != nil {
			return 0, 0, err
		}
	}
	for order := 0; n < count; order++ {
		for _, e := range orderEvents(order) {
			msg, err := message(e)
			if err != nil {
				return 0, 0, err
			}
			if _, err := js.PublishMsgAsync(msg); err != nil {
				return 0, 0, err
			}
			n++
			size += len(msg.Data)
		}
	}
	select {
	case <-js.PublishAsyncComplete():
	case <-ctx.Done():
		return 0, 0, ctx.Err()
	}
	for _, s := range config.Streams {
		if s.Retention != jetstream.LimitsPolicy {
			continue // a work queue, which is empty
		}
		for _, c := range s.Consumers {
			c.DeliverPolicy = jetstream.DeliverNewPolicy
			if _, err := js.CreateConsumer(ctx, s.Name, c); err != nil {
				return 0, 0, err
			}
		}
	}
	return n, size / n, nil
}

// orderEvents returns the events of a paid order.
func orderEvents(n int) []events.Event {
	id := events.OrderID(fmt.Sprintf("ord_%032d", n))
	payment := events.PaymentFor(id)
	placed := events.OrderPlaced{OrderID: id, CustomerID: events.UserID(fmt.Sprintf("usr_%032d", n%1000)), Total: euros(0)}
	var lines []events.Quantity
	for i := range 3 {
		item := events.OrderItem{SKU: events.SKU(sku(n % products)), Name: "Product number " + strconv.Itoa(n%products),
			Quantity: int64(i + 1), UnitPrice: euros(250), LineTotal: euros(250 * int64(i+1))}
		placed.Items = append(placed.Items, item)
		placed.Total.Amount += item.LineTotal.Amount
		placed.TotalItems += item.Quantity
		lines = append(lines, events.Quantity{SKU: item.SKU, Quantity: item.Quantity})
	}
	due := time.Unix(1_900_000_000, 0).UTC()
	return []events.Event{
		placed,
		events.StockReserved{Location: events.MainLocation, OrderID: id, Lines: lines, ExpiresAt: due},
		events.OrderAwaitingPayment{OrderID: id, Amount: placed.Total},
		events.PaymentRequested{PaymentID: payment, OrderID: id, Amount: placed.Total, Provider: "sandbox", URL: "/sandbox/payments/" + string(payment), ExpiresAt: due},
		events.PaymentCaptured{PaymentID: payment, OrderID: id, Amount: placed.Total},
		events.OrderPaid{OrderID: id, PaymentID: payment, Amount: placed.Total, Lines: lines},
		events.StockCommitted{Location: events.MainLocation, OrderID: id, Lines: lines},
	}
}

func euros(cents int64) events.Money { return events.Money{Amount: cents, Currency: "EUR"} }

// message returns an event as the shop records it.
func message(e events.Event) (*nats.Msg, error) {
	data, err := events.Encode(e)
	if err != nil {
		return nil, err
	}
	id := eventlog.NewID()
	env := eventlog.Envelope{ID: id, Type: events.Type(e), Source: "lonja/bench", Time: time.Now(),
		Causation: id, Correlation: id, Actor: eventlog.Actor{ID: "service:bench"}}
	return &nats.Msg{Subject: events.Subject(e), Header: env.Header(), Data: data}, nil
}

// awaitView waits until the consumers with a description exist for all sources and
// have no messages left.
func awaitView(ctx context.Context, js jetstream.JetStream, description string, sources int) error {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Minute)
	defer cancel()
	for {
		ready := 0
		for _, name := range []string{"ORDERS", "INVENTORY", "PAYMENTS"} {
			stream, err := js.Stream(ctx, name)
			if err != nil {
				return err
			}
			for c := range stream.ListConsumers(ctx).Info() {
				if c.Config.Description == description && c.NumPending == 0 && c.NumAckPending == 0 {
					ready++
				}
			}
		}
		if ready == sources {
			return nil
		}
		select {
		case <-time.After(10 * time.Millisecond):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}
