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
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"lonja/internal/decider"
	"lonja/internal/envelope"
	"lonja/internal/eventlog"
	"lonja/internal/refusal"
	"lonja/internal/wire"
)

// tries is how often a fact is tried before it goes to the dead letters. What
// is only unavailable is tried for as long as it takes.
const tries = 8

// errGivenUp marks a message that is not to be tried again.
var errGivenUp = errors.New("given up")

func (s *Service) addReaction(router *message.Router, d *deps, r Reaction) error {
	reflexes := make(map[string]Reflex, len(r.Reflexes))
	for _, reflex := range r.Reflexes {
		reflexes[reflex.fact()] = reflex
	}
	subscriber := &wire.Facts{
		JetStream: d.js,
		Consumer: func(ctx context.Context) (jetstream.Consumer, error) {
			return d.Consumers.Ensure(ctx, d.js, r.Consumer)
		},
		Group:  d.Consumers.Group(r.Consumer),
		Logger: d.Logger,
		Unreadable: func(ctx context.Context, m jetstream.Msg, reason error) error {
			meta, err := m.Metadata()
			if err != nil {
				return err
			}
			return d.letters.keep(ctx, undecodable, meta.Stream, meta.Sequence.Stream, m.Subject(), reason.Error(), m.Headers(), m.Data())
		},
	}
	handler := router.AddConsumerHandler(r.Consumer, r.Consumer, subscriber, func(m *message.Message) error {
		ctx, cancel := context.WithTimeout(m.Context(), 2*patience)
		defer cancel()
		return d.react(ctx, r.Consumer, reflexes, m)
	})
	poison, err := middleware.PoisonQueueWithFilter(d.letters, "deadletters", func(err error) bool { return errors.Is(err, errGivenUp) })
	if err != nil {
		return err
	}
	handler.AddMiddleware(poison)
	return nil
}

// react does what follows from one message. Every error that is not
// unavailability is given up after its last try.
func (d *deps) react(ctx context.Context, consumer string, reflexes map[string]Reflex, m *message.Message) error {
	fact := d.read(m)
	if fact.Event == nil {
		return d.letters.undecodable(ctx, fact)
	}
	reflex, ok := reflexes[fact.Event.Fact()]
	if !ok {
		return nil // a newer fact than this service knows what to do about
	}
	began := time.Now()
	err := d.reflex(ctx, reflex, consumer, fact)
	observe(d.metrics.reactions, consumer, began, false, err)
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
	return reflex.handle(ctx, decider.Wish{Envelope: envelope.Envelope{
		ID:          envelope.Derive(fact.ID, consumer),
		Correlation: fact.Correlation,
		Actor:       envelope.Actor{ID: "service:" + d.service.Name},
		Trace:       fact.Trace,
	}}, fact, d)
}

// read decodes the fact that a message carries, which may be a reminder of one.
func (d *deps) read(m *message.Message) eventlog.Recorded {
	header := make(nats.Header, len(m.Metadata))
	for key, value := range m.Metadata {
		header[key] = []string{value}
	}
	seq, _ := strconv.ParseUint(m.Metadata.Get(wire.MetaSequence), 10, 64)
	return d.log.Read(m.Metadata.Get(wire.MetaStream), seq, reminded(header, m.Metadata.Get(wire.MetaSubject)), header, m.Payload)
}

// recovered turns a panic into an error.
func recovered(err *error) {
	if r := recover(); r != nil {
		*err = fmt.Errorf("panic: %v\n%s", r, debug.Stack())
	}
}
