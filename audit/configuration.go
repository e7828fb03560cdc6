package audit

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/nats-io/nats.go/jetstream"

	"lonja/kit/streams"
)

// checkConfiguration compares the streams and the shared consumers with streams.yaml.
func (a *audit) checkConfiguration(ctx context.Context) error {
	for _, want := range a.Streams.Streams {
		stream, err := a.JetStream.Stream(ctx, want.Name)
		if errors.Is(err, jetstream.ErrStreamNotFound) {
			return fmt.Errorf("stream %s does not exist: run lonja streams apply", want.Name)
		}
		if err != nil {
			return fmt.Errorf("stream %s: %w", want.Name, err)
		}
		a.checkConfig(want.Name, "", want.StreamConfig, stream.CachedInfo().Config)
		for _, c := range want.Consumers {
			if err := a.checkConsumer(ctx, stream, want.Name, c); err != nil {
				return err
			}
		}
	}
	return nil
}

func (a *audit) checkConsumer(ctx context.Context, stream jetstream.Stream, name string, want jetstream.ConsumerConfig) error {
	cons, err := stream.Consumer(ctx, want.Durable)
	if errors.Is(err, jetstream.ErrConsumerNotFound) {
		a.violate(Violation{Check: Configuration, Stream: name, Entity: "consumer " + want.Durable, Problem: "does not exist"})
		return nil
	}
	if err != nil {
		return fmt.Errorf("consumer %s: %w", want.Durable, err)
	}
	a.checkConfig(name, "consumer "+want.Durable, want, cons.CachedInfo().Config)
	return nil
}

func (a *audit) checkConfig(stream, entity string, want, is any) {
	for _, d := range streams.Compare(want, is) {
		a.violate(Violation{Check: Configuration, Stream: stream, Entity: entity,
			Problem: fmt.Sprintf("%s is %s; streams.yaml says %s", d.Field, shown(d.Is), shown(d.Want))})
	}
}

func shown(value json.RawMessage) string {
	if string(value) == "null" {
		return "nothing"
	}
	return string(value)
}
