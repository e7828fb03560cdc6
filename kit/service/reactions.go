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
	"lonja/kit/streams"
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
	for _, stream := range d.Streams.StreamsOf(r.Consumer) {
		if err := d.consume(router, stream, r.Consumer, func(ctx context.Context, m *message.Message) error {
			return d.react(ctx, r, m, d.record(m))
		}); err != nil {
			return err
		}
	}
	return nil
}

// consume adds a handler of the messages of a shared durable consumer on a stream.
func (d *deps) consume(router *message.Router, stream, consumer string, handle func(context.Context, *message.Message) error) error {
	subscriber := &bus.StreamSubscriber{
		JetStream: d.js,
		Consumer: func(ctx context.Context) (jetstream.Consumer, error) {
			return d.Streams.EnsureOn(ctx, d.js, stream, consumer)
		},
		Group:      d.Streams.PriorityGroup(consumer),
		Timeout:    2 * timeout,
		Logger:     d.Logger,
		Unreadable: d.deadLetters.unreadable,
	}
	name := consumer
	if stream != streams.BaseOf(stream) {
		name += onPartition + stream
	}
	d.subscribers[name] = subscriber
	return d.handleFrom(router, 2*timeout, name, subscriber, handle)
}

// onPartition is between the consumer and the stream in the name of a handler of a partition's
// messages.
const onPartition = "/"

// handleFrom adds a handler of the messages of a subscriber. A message that the handler gives
// up goes to the dead letters. Limit is the time that the handler may take.
func (d *deps) handleFrom(router *message.Router, limit time.Duration, name string, subscriber message.Subscriber, handle func(context.Context, *message.Message) error) error {
	poison, err := middleware.PoisonQueueWithFilter(d.deadLetters, "deadletters", func(err error) bool { return errors.Is(err, errGivenUp) })
	if err != nil {
		return err
	}
	d.addHandler(router, limit, name, name, subscriber, func(m *message.Message) error {
		err := d.awaitSync(m)
		if err == nil {
			err = handle(m.Context(), m)
		}
		if err == nil || errors.Is(err, errGivenUp) {
			d.counts.Remove(deliveryKey(m))
		}
		return err
	}, poison)
	return nil
}

// awaitSync waits until a delivered message is synced: what it leads to must not outlive it.
func (d *deps) awaitSync(m *message.Message) error {
	seq, _ := strconv.ParseUint(m.Metadata.Get(bus.MetaSequence), 10, 64)
	return d.log.AwaitSync(m.Context(), m.Metadata.Get(bus.MetaStream), seq)
}

// react handles one message of the consumer's stream. M is the delivery that brought it, which
// is another message when it is retried.
func (d *deps) react(ctx context.Context, r Reaction, m *message.Message, stored eventlog.Record) error {
	event, err := d.resolveReminder(ctx, stored)
	if err != nil {
		return err
	}
	if event.Unavailable {
		return fmt.Errorf("%w: %w", errs.New(errs.Unavailable, "%s cannot be opened now", eventlog.Position(event.Stream, event.Sequence)), event.Err)
	}
	if event.Event == nil && !event.UnknownType {
		return d.deadLetters.undecodable(ctx, event)
	}
	if event.Event != nil {
		if handlers := r.handlersOf(event.Event); len(handlers) > 0 {
			began := time.Now()
			err := d.handleAll(ctx, handlers, r.Consumer, event)
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

// handleAll runs all of an event's handlers, also after one has failed. That one is too early is
// returned only when no other has failed: it would hide that from the log and the count.
func (d *deps) handleAll(ctx context.Context, handlers []Handler, consumer string, event eventlog.Record) error {
	var failed []error
	var early error
	for _, handler := range handlers {
		err := d.handle(ctx, handler, consumer, event)
		if errors.As(err, new(tooEarly)) {
			early = err
			continue
		}
		failed = append(failed, err)
	}
	return cmp.Or(errors.Join(failed...), early)
}

func (d *deps) handle(ctx context.Context, handler Handler, consumer string, event eventlog.Record) (err error) {
	defer recoverPanic(&err)
	if err := d.checkLog(); err != nil {
		return err
	}
	return handler.handle(ctx, d.reactionCommand(consumer, event), event, d)
}

// reactionCommand returns the command that the reaction of a consumer to an event decides on,
// without the entity.
func (d *deps) reactionCommand(consumer string, event eventlog.Record) decider.Command {
	return decider.Command{Cause: event.Time, Envelope: eventlog.Envelope{
		ID:          eventlog.DeriveID(event.ID, consumer),
		Correlation: cmp.Or(event.Correlation, event.Causation),
		Actor:       eventlog.Actor{ID: "service:" + d.service.Name},
		Trace:       event.Trace,
	}}
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
		return stored, unavailable(eventlog.Position(stream, seq)+" cannot be looked up now", err)
	}
	if (id != "" || len(body) > 0) && (id != stored.Headers.Get(eventlog.HeaderID) || !bytes.Equal(body, stored.Data)) {
		return stored, fmt.Errorf("%s is another message: %w", eventlog.Position(stream, seq), errNotInLog)
	}
	return stored, nil
}

// unavailable returns an error of a request to the log, or to JetStream, as one that passes.
func unavailable(what string, err error) error {
	if errs.Is(err, errs.Unavailable) {
		return err
	}
	return fmt.Errorf("%w: %w", errs.New(errs.Unavailable, "%s", what), err)
}

// recoverPanic turns a panic into an error with the stack. Defer it directly.
func recoverPanic(err *error) {
	if r := recover(); r != nil {
		*err = fmt.Errorf("panic: %v\n%s", r, debug.Stack())
	}
}
