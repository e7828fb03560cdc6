package service

import (
	"bytes"
	"cmp"
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

// maxFailures is how many times a message may fail before it goes to the dead letters. An
// Unavailable error is no failure: such a message is tried for as long as it takes.
const maxFailures = 6

// A replica leaves a message that it does not know how to handle to a newer one for this
// long, and at least so many times, before it gives the message up. With the delays between
// deliveries that takes about a quarter of a minute, however many replicas there are.
const (
	maxUnknownWait = 10 * time.Second
	minUnknown     = 3
)

// maxCounted is how many messages are counted at once. Counts are in memory. A message that
// goes to another replica, or to one that was restarted, is counted from the beginning
// there, so it is still given up in the end.
const maxCounted = 10_000

// errGivenUp marks a message that is not tried again.
var errGivenUp = errors.New("given up")

func (s *Service) addReaction(router *message.Router, d *deps, r Reaction) error {
	return d.consume(router, r.Consumer, func(ctx context.Context, m *message.Message) error {
		return d.react(ctx, r, m, d.record(m))
	})
}

// consume adds a handler of the messages of a shared durable consumer. A message that the
// handler gives up goes to the dead letters.
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
			d.counts.Remove(deliveryKey(m))
		}
		return err
	}, poison)
	return nil
}

// react handles one message of the consumer's stream. M is the delivery that brought it, which
// is another message when it is retried.
func (d *deps) react(ctx context.Context, r Reaction, m *message.Message, stored eventlog.Record) error {
	event, err := d.resolveReminder(ctx, stored)
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
			return d.countFailure(m, err)
		}
	}
	return d.unknown(m, fmt.Sprintf("%s at %s", event.Type, eventlog.Position(event.Stream, event.Sequence)))
}

// unknown leaves a message that this program does not know how to handle to a newer replica.
// It returns an Unavailable error until this replica has had the message for maxUnknownWait
// and minUnknown times, and errGivenUp then. Nothing is lost: the dead letter can be retried
// once every replica is newer.
//
// Only deliveries to this replica count, since others may have gone to a newer replica, which
// may fail for hours in an outage. None counts while this replica knows that the log is
// failing. The time is what bounds the wait when all replicas are old: redeliveries become
// rare, and each replica gets only some of them.
func (d *deps) unknown(m *message.Message, what string) error {
	if err := cmp.Or(d.checkLog(), d.log.Outage()); err != nil {
		return fmt.Errorf("%w: %w", errs.New(errs.Unavailable, "%s waits for a newer program", what), err)
	}
	seen := d.count(m)
	if waited := time.Since(seen.since); seen.times >= minUnknown && waited >= maxUnknownWait {
		return fmt.Errorf("%w: only a newer program knows what to do about %s, and none has handled it within %s", errGivenUp, what, waited.Round(time.Second))
	}
	return errs.New(errs.Unavailable, "only a newer program knows what to do about %s", what)
}

// countFailure counts err unless it is Unavailable, and marks it as given up when the
// message has failed maxFailures times.
func (d *deps) countFailure(m *message.Message, err error) error {
	if err == nil || errs.Is(err, errs.Unavailable) {
		return err
	}
	if n := d.count(m).times; n >= maxFailures {
		return fmt.Errorf("%w after %d tries: %w", errGivenUp, n, err)
	}
	return err
}

// tally is how many times a message has been counted, and since when.
type tally struct {
	times int
	since time.Time
}

// count counts a message once more, and returns its tally. The tally ends when the message
// is handled or given up.
func (d *deps) count(m *message.Message) tally {
	t, counted := d.counts.Get(deliveryKey(m))
	if !counted {
		t.since = time.Now()
	}
	t.times++
	d.counts.Add(deliveryKey(m), t)
	return t
}

// deliveryKey identifies a message and the consumer that delivered it.
func deliveryKey(m *message.Message) string {
	return message.HandlerNameFromCtx(m.Context()) + " " + m.Metadata.Get(bus.MetaStream) + ":" + m.Metadata.Get(bus.MetaSequence)
}

func (d *deps) handle(ctx context.Context, handler Handler, consumer string, event eventlog.Record) (err error) {
	defer recoverPanic(&err)
	if err := d.checkLog(); err != nil {
		return err
	}
	return handler.handle(ctx, decider.Command{Envelope: eventlog.Envelope{
		ID:          eventlog.DeriveID(event.ID, consumer),
		Correlation: event.Correlation,
		Actor:       eventlog.Actor{ID: "service:" + d.service.Name},
		Trace:       event.Trace,
	}}, event, d)
}

// record returns a delivered message as its stream holds it.
func (d *deps) record(m *message.Message) eventlog.Record {
	seq, _ := strconv.ParseUint(m.Metadata.Get(bus.MetaSequence), 10, 64)
	r := d.log.Read(m.Metadata.Get(bus.MetaStream), seq, m.Metadata.Get(bus.MetaSubject), header(m), m.Payload)
	r.StoredAt, _ = time.Parse(time.RFC3339Nano, m.Metadata.Get(bus.MetaStored)) // as StreamSubscriber wrote it
	return r
}

// errNotInLog reports that the log does not hold a message that is said to be in it.
var errNotInLog = errors.New("the log does not hold it, or not any more")

// messageAt returns the message at a place that somebody else has named. What the log holds
// there is handled, not what they claim. The error is errNotInLog when the log holds another
// message there, judging by id and body. When both are empty, only the place is compared.
func (d *deps) messageAt(ctx context.Context, stream string, seq uint64, id string, body []byte) (eventlog.Record, error) {
	stored, err := d.log.At(ctx, stream, seq)
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return stored, fmt.Errorf("%s: %w", eventlog.Position(stream, seq), errNotInLog)
	}
	if err != nil {
		if errs.Is(err, errs.Unavailable) {
			return stored, err
		}
		return stored, fmt.Errorf("%w: %w", errs.New(errs.Unavailable, "%s cannot be looked up now", eventlog.Position(stream, seq)), err)
	}
	if (id != "" || len(body) > 0) && (id != stored.Headers.Get(eventlog.HeaderID) || !bytes.Equal(body, stored.Data)) {
		return stored, fmt.Errorf("%s is another message: %w", eventlog.Position(stream, seq), errNotInLog)
	}
	return stored, nil
}

// recoverPanic turns a panic into an error with the stack. Defer it directly.
func recoverPanic(err *error) {
	if r := recover(); r != nil {
		*err = fmt.Errorf("panic: %v\n%s", r, debug.Stack())
	}
}
