package main

import (
	"context"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"lonja"
	"lonja/kit/streams"
)

// awaitReactions waits until every shared consumer has handled all its messages.
func awaitReactions(ctx context.Context, js jetstream.JetStream) error {
	config, err := streams.Parse(lonja.StreamsYAML)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, settleTimeout)
	defer cancel()
	for _, s := range config.Streams {
		for _, c := range s.Consumers {
			if err := awaitConsumer(ctx, js, s.Name, c.Durable); err != nil {
				return err
			}
		}
	}
	return nil
}

func awaitConsumer(ctx context.Context, js jetstream.JetStream, stream, name string) error {
	for {
		c, err := js.Consumer(ctx, stream, name)
		if err != nil {
			return err
		}
		if info := c.CachedInfo(); info.NumPending == 0 && info.NumAckPending == 0 {
			return nil
		}
		select {
		case <-time.After(20 * time.Millisecond):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// countMessages returns how many messages all streams of a server hold, and how many orders.
func countMessages(ctx context.Context, url string) (messages, orders int64, err error) {
	nc, err := nats.Connect(url)
	if err != nil {
		return 0, 0, err
	}
	defer nc.Close()
	js, err := jetstream.New(nc)
	if err != nil {
		return 0, 0, err
	}
	all := js.ListStreams(ctx)
	for info := range all.Info() {
		messages += int64(info.State.Msgs)
	}
	if err := all.Err(); err != nil {
		return 0, 0, err
	}
	placed, err := js.OrderedConsumer(ctx, "ORDERS", jetstream.OrderedConsumerConfig{FilterSubjects: []string{"events.order.*.placed"}})
	if err != nil {
		return 0, 0, err
	}
	return messages, int64(placed.CachedInfo().NumPending), nil
}
