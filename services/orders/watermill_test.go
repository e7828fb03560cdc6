package orders

import (
	"cmp"
	"context"
	"encoding/json"
	"testing"
	"time"

	"github.com/ThreeDotsLabs/watermill"
	wmjetstream "github.com/ThreeDotsLabs/watermill-nats/v2/pkg/jetstream"
	wmnats "github.com/ThreeDotsLabs/watermill-nats/v2/pkg/nats"
	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"lonja/events/query"
	"lonja/shop/shoptest"
)

// warehouse is a plain Watermill program that uses none of lonja's packages. It knows
// the subjects, headers and bodies of events. In inventory's place, it reads placed
// orders with watermill-nats and publishes that their goods are reserved.
func warehouse(t *testing.T, url string) {
	t.Helper()
	connect := func() *nats.Conn { // watermill-nats closes the connections that it is given
		nc, err := nats.Connect(url)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(nc.Close)
		return nc
	}
	subscriber, err := wmjetstream.NewSubscriber(wmjetstream.SubscriberConfig{
		Conn: connect(), Logger: watermill.NopLogger{},
		ResourceInitializer: func(ctx context.Context, js jetstream.JetStream, topic string) (jetstream.Consumer, func(context.Context, watermill.LoggerAdapter), error) {
			c, err := js.CreateConsumer(ctx, "ORDERS", jetstream.ConsumerConfig{FilterSubject: topic, AckPolicy: jetstream.AckExplicitPolicy})
			return c, nil, err
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	publisher, err := wmnats.NewPublisherWithNatsConn(connect(), wmnats.PublisherPublishConfig{
		Marshaler: &wmnats.NATSMarshaler{}, SubjectCalculator: wmnats.DefaultSubjectCalculator,
	}, watermill.NopLogger{})
	if err != nil {
		t.Fatal(err)
	}
	type line struct {
		SKU      string `json:"sku"`
		Quantity int    `json:"quantity"`
	}
	router := message.NewDefaultRouter(watermill.NopLogger{})
	router.AddConsumerHandler("reserve", "events.order.*.placed", subscriber, func(m *message.Message) error {
		var placed struct {
			OrderID string `json:"order_id"`
			Items   []line `json:"items"`
		}
		if err := json.Unmarshal(m.Payload, &placed); err != nil {
			return err
		}
		if m.UUID == "" || m.UUID != m.Metadata.Get("ce-id") || m.Metadata.Get("ce-type") != "lonja.order.placed.v1" || m.Metadata.Get("ce-source") != "lonja/orders" {
			t.Errorf("read message %q with %v", m.UUID, m.Metadata)
		}
		body, err := json.Marshal(map[string]any{
			"location": "main", "order_id": placed.OrderID, "expires_at": time.Now().Add(time.Hour), "lines": placed.Items,
		})
		if err != nil {
			return err
		}
		reserved := message.NewMessage(watermill.NewUUID(), body)
		reserved.Metadata.Set("ce-id", reserved.UUID)
		reserved.Metadata.Set("ce-type", "lonja.stock.reserved.v1")
		reserved.Metadata.Set("ce-specversion", "1.0")
		reserved.Metadata.Set("ce-source", "warehouse")
		reserved.Metadata.Set("ce-causationid", m.UUID)
		// An event without a correlation id begins a process, which is called after its cause.
		reserved.Metadata.Set("ce-correlationid", cmp.Or(m.Metadata.Get("ce-correlationid"), m.Metadata.Get("ce-causationid")))
		return publisher.Publish("events.stock.main.reserved", reserved)
	})
	done := make(chan error, 1)
	go func() { done <- router.Run(context.Background()) }()
	<-router.Running()
	t.Cleanup(func() {
		if err := router.Close(); err != nil {
			t.Error(err)
		}
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

func TestWatermill_PlainProgramTakesPartInTheShop(t *testing.T) {
	shop := shoptest.Start(t, New(Config{}))
	warehouse(t, shop.URL)
	order, _ := places(t, shop, ana, "lantern", "", sells(shop, "lantern", 339))
	if waiting := reaches(shop, order.ID, ana, query.AwaitingPayment); waiting.Status != query.AwaitingPayment {
		t.Fatalf("after the warehouse has reserved its goods, the order is %+v", waiting)
	}
	// The shop's reaction has the same correlation id.
	stream, err := shop.JS.Stream(t.Context(), "ORDERS")
	if err != nil {
		t.Fatal(err)
	}
	var correlations []string
	for _, step := range []string{"placed", "awaiting_payment"} {
		m, err := stream.GetLastMsgForSubject(t.Context(), "events.order."+string(order.ID)+"."+step)
		if err != nil {
			t.Fatal(err)
		}
		correlations = append(correlations, cmp.Or(m.Header.Get("ce-correlationid"), m.Header.Get("ce-causationid")))
	}
	if correlations[0] == "" || correlations[0] != correlations[1] {
		t.Errorf("the correlation ids are %q", correlations)
	}
}
