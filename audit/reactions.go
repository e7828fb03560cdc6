package audit

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/nats-io/nats.go/jetstream"

	"lonja/kit/bus"
)

// reactions is the progress of the services' reactions.
type reactions struct {
	// floors is, by consumer and stream, up to where everything that was delivered is handled.
	floors map[[2]string]uint64
	// deadLettered holds the messages that a consumer's reaction has given up, and
	// those that are being retried, as "orders-on-payments.PAYMENTS.17".
	deadLettered map[string]bool
}

// isDeadLettered reports whether a consumer's message is a dead letter or is being
// retried.
func (r reactions) isDeadLettered(consumer, stream string, seq uint64) bool {
	return r.deadLettered[fmt.Sprintf("%s.%s.%d", consumer, stream, seq)]
}

// ran reports whether a consumer's reaction to a message has completed.
func (r reactions) ran(consumer, stream string, seq uint64) bool {
	return seq <= r.floors[[2]string{consumer, stream}] && !r.isDeadLettered(consumer, stream, seq)
}

// readReactions reads the consumers first and the dead letters second, because a
// reaction that gives up stores the dead letter before it acknowledges the message.
func (a *audit) readReactions(ctx context.Context) error {
	a.reactions = reactions{floors: map[[2]string]uint64{}, deadLettered: map[string]bool{}}
	for _, s := range a.Streams.Streams {
		for _, c := range s.Consumers {
			if err := a.readConsumer(ctx, s.Name, c.Durable); err != nil {
				return err
			}
		}
	}
	count, err := a.readDeadLettered(ctx, bus.DeadLetterStream, "deadletters.", 0)
	if err != nil {
		return err
	}
	a.report.DeadLetters = count
	// "retries.orders.orders-on-payments.PAYMENTS.17": the consumer's name
	// begins with the service's.
	returning, err := a.readDeadLettered(ctx, bus.RetryStream, "retries.", 1)
	if err == nil && returning > 0 {
		a.violateIfSettled(Violation{Stream: bus.RetryStream, Problem: fmt.Sprintf("%d dead letters are being retried", returning)})
	}
	return err
}

func (a *audit) readConsumer(ctx context.Context, stream, durable string) error {
	cons, err := a.JetStream.Consumer(ctx, stream, durable)
	if errors.Is(err, jetstream.ErrConsumerNotFound) || errors.Is(err, jetstream.ErrStreamNotFound) {
		return nil // checkConfiguration reports it
	}
	if err != nil {
		return fmt.Errorf("consumer %s: %w", durable, err)
	}
	info := cons.CachedInfo()
	a.reactions.floors[[2]string{durable, stream}] = info.AckFloor.Stream
	if left := info.NumPending + uint64(info.NumAckPending); left > 0 {
		a.violateIfSettled(Violation{Stream: stream, Entity: "consumer " + durable, Problem: fmt.Sprintf("has %d messages left to handle", left)})
	}
	return nil
}

// readDeadLettered records the messages that the subjects of a stream name, and
// returns how many there are. A subject is the prefix, then some tokens that are
// skipped, then the name.
func (a *audit) readDeadLettered(ctx context.Context, name, prefix string, tokens int) (int, error) {
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
		a.reactions.deadLettered[parts[len(parts)-1]] = true
	}
	return count, nil
}

// violateIfSettled reports work that is under way, if the audit was asked to.
func (a *audit) violateIfSettled(v Violation) {
	if a.Settled {
		v.Check = Settled
		a.violate(v)
	}
}
