package bus_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/nats-io/nats.go/jetstream"

	"lonja/kit/bus"
	"lonja/kit/kittest"
)

// A subscriber reads a stream through a durable consumer. The handler nacks the message at
// first, so it is delivered again.
func ExampleStreamSubscriber() {
	if err := readGreetings(); err != nil {
		fmt.Println(err)
	}
	// Output:
	// delivery 1 of hello
	// delivery 2 of hello
}

func readGreetings() (err error) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	js, _, stop, err := kittest.JetStream(ctx, jetstream.StreamConfig{Name: "GREETINGS", Subjects: []string{"greetings"}})
	if err != nil {
		return err
	}
	defer stop()
	if _, err := js.Publish(ctx, "greetings", []byte("hello")); err != nil {
		return err
	}

	subscriber := &bus.StreamSubscriber{
		JetStream: js,
		Logger:    slog.New(slog.DiscardHandler),
		Consumer: func(ctx context.Context) (jetstream.Consumer, error) {
			return js.CreateOrUpdateConsumer(ctx, "GREETINGS", jetstream.ConsumerConfig{Durable: "reader", AckPolicy: jetstream.AckExplicitPolicy})
		},
		Unreadable: func(_ context.Context, _ jetstream.Msg, reason error) error { return reason },
	}
	messages, err := subscriber.Subscribe(ctx, "reader")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, subscriber.Close()) }()
	for range 2 {
		var m *message.Message
		select {
		case m = <-messages:
		case <-ctx.Done():
			return ctx.Err()
		}
		delivered := m.Metadata.Get(bus.MetaDelivered)
		fmt.Printf("delivery %s of %s\n", delivered, m.Payload)
		if delivered == "1" {
			m.Nack()
		} else {
			m.Ack()
		}
	}
	return nil
}
