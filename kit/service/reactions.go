package service

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"strconv"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/ThreeDotsLabs/watermill/message/router/middleware"
	"github.com/nats-io/nats.go/jetstream"

	"lonja/kit/bus"
	"lonja/kit/decider"
	"lonja/kit/errs"
	"lonja/kit/eventlog"
)

// tries is how often a message may fail before it goes to the dead letters. What
// is only unavailable is tried for as long as it takes, and is no failure.
const tries = 6

// unknownTries is how often a message is delivered that only a newer program knows
// what to do about: within about a quarter of a minute.
const unknownTries = 9

// failing is how many messages' failures are remembered. They are counted where
// they happen: a message that is delivered to another replica, or to one that was
// started again, has its tries anew there, and so comes to an end all the same.
const failing = 10_000

// errGivenUp marks a message that is not to be tried again.
var errGivenUp = errors.New("given up")

func (s *Service) addReaction(router *message.Router, d *deps, r Reaction) error {
	return d.consume(router, r.Consumer, func(ctx context.Context, m *message.Message) error {
		return d.react(ctx, r, m, d.read(m))
	})
}

// consume adds a handler of what a shared durable consumer brings. A message
// whose handler gives up goes to the dead letters.
func (d *deps) consume(router *message.Router, consumer string, handle func(context.Context, *message.Message) error) error {
	subscriber := &bus.StreamSubscriber{
		JetStream: d.js,
		Consumer: func(ctx context.Context) (jetstream.Consumer, error) {
			return d.Streams.Ensure(ctx, d.js, consumer)
		},
		Group:      d.Streams.PriorityGroup(consumer),
		Timeout:    2 * timeout,
		Logger:     d.Logger,
		Unreadable: d.deadLetters.unreadable,
	}
	d.subscribers[consumer] = subscriber
	poison, err := middleware.PoisonQueueWithFilter(d.deadLetters, "deadletters", func(err error) bool { return errors.Is(err, errGivenUp) })
	if err != nil {
		return err
	}
	d.addHandler(router, 2*timeout, consumer, consumer, subscriber, func(m *message.Message) error {
		err := handle(m.Context(), m)
		if err == nil || errors.Is(err, errGivenUp) {
			d.failures.Remove(delivered(m))
		}
		return err
	}, poison)
	return nil
}

// react does what follows from one message of the consumer's stream. M is the
// delivery that brought it, perhaps because it is retried.
func (d *deps) react(ctx context.Context, r Reaction, m *message.Message, stored eventlog.Record) error {
	event, err := d.recall(ctx, stored)
	if err != nil {
		return err
	}
	if event.Event == nil && !event.UnknownType {
		return d.deadLetters.undecodable(ctx, event)
	}
	for _, handler := range r.Handlers {
		if event.Event != nil && handler.eventName() == event.Event.EventName() {
			began := time.Now()
			err := d.handle(ctx, handler, r.Consumer, event)
			observe(d.metrics.reactions, r.Consumer, began, false, err)
			return d.givenUp(m, err)
		}
	}
	return unknown(m, event)
}

// unknown leaves an event that this program does nothing about, although its consumer
// brings it, to a replica that is newer. It is given up when none has taken it for
// a while: whoever retries its letter, once all are newer, loses nothing.
func unknown(m *message.Message, event eventlog.Record) error {
	at := eventlog.Position(event.Stream, event.Sequence)
	if n := deliveries(m); n >= unknownTries {
		return fmt.Errorf("%w after %d deliveries: %s records %s, which only a newer program knows what to do about", errGivenUp, n, at, event.Type)
	}
	return errs.New(errs.Unavailable, "%s records %s, which a newer program must take", at, event.Type)
}

// deliveries is how often a consumer has delivered a message by now.
func deliveries(m *message.Message) int {
	n, _ := strconv.Atoi(m.Metadata.Get(bus.MetaDelivered)) // as wire wrote it
	return n
}

// givenUp counts an error that is not unavailability, and marks it as given up
// when it was the last try.
func (d *deps) givenUp(m *message.Message, err error) error {
	if err == nil || errs.Is(err, errs.Unavailable) {
		return err
	}
	failed, _ := d.failures.Get(delivered(m))
	if failed++; failed >= tries {
		return fmt.Errorf("%w after %d tries: %w", errGivenUp, failed, err)
	}
	d.failures.Add(delivered(m), failed)
	return err
}

// delivered names a message and the consumer that brought it.
func delivered(m *message.Message) string {
	return message.HandlerNameFromCtx(m.Context()) + " " + m.Metadata.Get(bus.MetaStream) + ":" + m.Metadata.Get(bus.MetaSequence)
}

func (d *deps) handle(ctx context.Context, handler Handler, consumer string, event eventlog.Record) (err error) {
	defer recovered(&err)
	if err := d.lost(); err != nil {
		return err
	}
	return handler.handle(ctx, decider.Command{Envelope: eventlog.Envelope{
		ID:          eventlog.DeriveID(event.ID, consumer),
		Correlation: event.Correlation,
		Actor:       eventlog.Actor{ID: "service:" + d.service.Name},
		Trace:       event.Trace,
	}}, event, d)
}

// read is a message that a consumer brought, as its stream holds it.
func (d *deps) read(m *message.Message) eventlog.Record {
	seq, _ := strconv.ParseUint(m.Metadata.Get(bus.MetaSequence), 10, 64)
	r := d.log.Read(m.Metadata.Get(bus.MetaStream), seq, m.Metadata.Get(bus.MetaSubject), header(m), m.Payload)
	r.StoredAt, _ = time.Parse(time.RFC3339Nano, m.Metadata.Get(bus.MetaStored)) // as wire wrote it
	return r
}

// errGone means that the log does not hold a message that is said to be in it.
var errGone = errors.New("the log does not hold it, or not any more")

// find looks up a message that somebody else says to be at a place: what the log
// holds there is handled, not what they say. It is errGone when that is another
// message, by its id and body; of one that has neither, only the place is said.
func (d *deps) find(ctx context.Context, stream string, seq uint64, id string, body []byte) (eventlog.Record, error) {
	stored, err := d.log.At(ctx, stream, seq)
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return stored, fmt.Errorf("%s: %w", eventlog.Position(stream, seq), errGone)
	}
	if err != nil {
		if errs.Is(err, errs.Unavailable) {
			return stored, err
		}
		return stored, fmt.Errorf("%w: %w", errs.New(errs.Unavailable, "%s cannot be looked up now", eventlog.Position(stream, seq)), err)
	}
	if (id != "" || len(body) > 0) && (id != stored.Headers.Get(eventlog.HeaderID) || !bytes.Equal(body, stored.Data)) {
		return stored, fmt.Errorf("%s is another message: %w", eventlog.Position(stream, seq), errGone)
	}
	return stored, nil
}

// recovered turns a panic into an error.
func recovered(err *error) {
	if r := recover(); r != nil {
		*err = fmt.Errorf("panic: %v\n%s", r, debug.Stack())
	}
}
