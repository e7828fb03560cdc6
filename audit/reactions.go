package audit

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/nats-io/nats.go/jetstream"

	"lonja/kit/bus"
)

// reactions is how far the services' reactions have come.
type reactions struct {
	floors map[string]uint64 // consumer -> all that it brought up to here was handled
	// aside are the messages that a consumer's reaction has given up, and those
	// that are on their way back to it: "orders-on-payments.PAYMENTS.17".
	aside map[string]bool
}

// waits tells whether a message was put aside by a consumer.
func (r reactions) waits(consumer, stream string, seq uint64) bool {
	return r.aside[fmt.Sprintf("%s.%s.%d", consumer, stream, seq)]
}

// ran tells whether a consumer's reaction to a message has run to its end.
func (r reactions) ran(consumer, stream string, seq uint64) bool {
	return seq <= r.floors[consumer] && !r.waits(consumer, stream, seq)
}

// readReactions looks at the consumers first and at what was put aside then: a
// reaction that gives up puts the message aside before it acknowledges it.
func (a *audit) readReactions(ctx context.Context) error {
	a.reactions = reactions{floors: map[string]uint64{}, aside: map[string]bool{}}
	for _, s := range a.Streams.Streams {
		for _, c := range s.Consumers {
			if err := a.readConsumer(ctx, s.Name, c.Durable); err != nil {
				return err
			}
		}
	}
	letters, err := a.readAside(ctx, bus.DeadLetterStream, "deadletters.", 0)
	if err != nil {
		return err
	}
	a.report.DeadLetters = letters
	// "retries.orders.orders-on-payments.PAYMENTS.17": the consumer's name
	// begins with the service's.
	returning, err := a.readAside(ctx, bus.RetryStream, "retries.", 1)
	if err == nil && returning > 0 {
		a.unsettled(Violation{Stream: bus.RetryStream, Problem: fmt.Sprintf("%d dead letters are on their way back", returning)})
	}
	return err
}

func (a *audit) readConsumer(ctx context.Context, stream, durable string) error {
	cons, err := a.JetStream.Consumer(ctx, stream, durable)
	if errors.Is(err, jetstream.ErrConsumerNotFound) || errors.Is(err, jetstream.ErrStreamNotFound) {
		return nil // the configuration's check tells
	}
	if err != nil {
		return fmt.Errorf("consumer %s: %w", durable, err)
	}
	info := cons.CachedInfo()
	a.reactions.floors[durable] = info.AckFloor.Stream
	if left := info.NumPending + uint64(info.NumAckPending); left > 0 {
		a.unsettled(Violation{Stream: stream, Entity: "consumer " + durable, Problem: fmt.Sprintf("has %d messages still to handle", left)})
	}
	return nil
}

// readAside notes the messages that the subjects of a stream name behind a
// prefix and some more tokens, and returns how many there are.
func (a *audit) readAside(ctx context.Context, name, prefix string, tokens int) (int, error) {
	stream, err := a.JetStream.Stream(ctx, name)
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		return 0, nil
	}
	if err != nil {
		return 0, fmt.Errorf("stream %s: %w", name, err)
	}
	info, err := stream.Info(ctx, jetstream.WithSubjectFilter(prefix+">"))
	if err != nil {
		return 0, fmt.Errorf("stream %s: %w", name, err)
	}
	count := 0
	for subject, messages := range info.State.Subjects {
		count += int(messages)
		parts := strings.SplitN(strings.TrimPrefix(subject, prefix), ".", tokens+1)
		a.reactions.aside[parts[len(parts)-1]] = true
	}
	return count, nil
}

// unsettled tells of what is under way, where nothing should be.
func (a *audit) unsettled(v Violation) {
	if a.Settled {
		v.Check = Settled
		a.violate(v)
	}
}
