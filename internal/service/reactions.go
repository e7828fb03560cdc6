package service

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"strconv"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/ThreeDotsLabs/watermill/message/router/middleware"
	"github.com/nats-io/nats.go/jetstream"

	"lonja/internal/decider"
	"lonja/internal/envelope"
	"lonja/internal/eventlog"
	"lonja/internal/refusal"
	"lonja/internal/wire"
)

// tries is how often a fact is tried before it goes to the dead letters. What
// is only unavailable is tried for as long as it takes.
const tries = 6

// errGivenUp marks a message that is not to be tried again.
var errGivenUp = errors.New("given up")

func (s *Service) addReaction(router *message.Router, d *deps, r Reaction) error {
	return d.consume(router, r.Consumer, func(ctx context.Context, m *message.Message) error {
		return d.react(ctx, r, m)
	})
}

// consume adds a handler of what a shared durable consumer brings. A message
// whose handler gives up goes to the dead letters.
func (d *deps) consume(router *message.Router, consumer string, handle func(context.Context, *message.Message) error) error {
	subscriber := &wire.Facts{
		JetStream: d.js,
		Consumer: func(ctx context.Context) (jetstream.Consumer, error) {
			return d.Streams.Ensure(ctx, d.js, consumer)
		},
		Group:      d.Streams.Group(consumer),
		Patience:   2 * patience,
		Logger:     d.Logger,
		Unreadable: d.letters.unreadable,
	}
	handler := router.AddConsumerHandler(consumer, consumer, subscriber, func(m *message.Message) error {
		ctx, cancel := context.WithTimeout(m.Context(), 2*patience)
		defer cancel()
		return handle(ctx, m)
	})
	poison, err := middleware.PoisonQueueWithFilter(d.letters, "deadletters", func(err error) bool { return errors.Is(err, errGivenUp) })
	if err != nil {
		return err
	}
	handler.AddMiddleware(poison)
	return nil
}

// react does what follows from one message.
func (d *deps) react(ctx context.Context, r Reaction, m *message.Message) error {
	fact := d.read(m)
	if fact.Event == nil {
		return d.letters.undecodable(ctx, fact)
	}
	for _, reflex := range r.Reflexes {
		if reflex.fact() == fact.Event.Fact() {
			began := time.Now()
			err := d.reflex(ctx, reflex, r.Consumer, fact)
			observe(d.metrics.reactions, r.Consumer, began, false, err)
			return givenUp(m, err)
		}
	}
	return nil // a newer fact than this service knows what to do about
}

// givenUp marks an error that is not unavailability as given up on its last try.
func givenUp(m *message.Message, err error) error {
	if err == nil || refusal.Is(err, refusal.Unavailable) {
		return err
	}
	if delivered, _ := strconv.Atoi(m.Metadata.Get(wire.MetaDelivered)); delivered >= tries {
		return fmt.Errorf("%w after %d tries: %w", errGivenUp, delivered, err)
	}
	return err
}

func (d *deps) reflex(ctx context.Context, reflex Reflex, consumer string, fact eventlog.Recorded) (err error) {
	defer recovered(&err)
	if err := d.lost(); err != nil {
		return err
	}
	return reflex.handle(ctx, decider.Wish{Envelope: envelope.Envelope{
		ID:          envelope.Derive(fact.ID, consumer),
		Correlation: fact.Correlation,
		Actor:       envelope.Actor{ID: "service:" + d.service.Name},
		Trace:       fact.Trace,
	}}, fact, d)
}

// read decodes the fact that a message carries, which may be a reminder of one.
func (d *deps) read(m *message.Message) eventlog.Recorded {
	h := header(m)
	seq, _ := strconv.ParseUint(m.Metadata.Get(wire.MetaSequence), 10, 64)
	return d.log.Read(m.Metadata.Get(wire.MetaStream), seq, reminded(h, m.Metadata.Get(wire.MetaSubject)), h, m.Payload)
}

// recovered turns a panic into an error.
func recovered(err *error) {
	if r := recover(); r != nil {
		*err = fmt.Errorf("panic: %v\n%s", r, debug.Stack())
	}
}
