package service

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/ThreeDotsLabs/watermill/message/router/middleware"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"lonja/kit/bus"
	"lonja/kit/eventlog"
)

// deadLetters stores messages that could not be handled. It is also the publisher of
// Watermill's poison queue.
type deadLetters struct {
	*deps
	box *bus.DeadLetterQueue
}

// keep stores a dead letter. When the stream is full, that is logged and counted, and keep
// returns nil. The message itself stays where it is, while a view or reaction that waited for
// room would make no progress.
func (d *deadLetters) keep(ctx context.Context, l bus.DeadLetter) error {
	kept, err := d.box.Add(ctx, l)
	if errors.Is(err, bus.ErrDeadLettersFull) {
		d.metrics.full.WithLabelValues(bus.DeadLetterStream).Inc()
		// An operator can have the message retried without a dead letter, by this subject alone.
		d.Logger.Error("a message could not be handled, and its dead letter was not stored: the stream is full", "error", err,
			"message", eventlog.Position(l.Stream, l.Sequence), "reason", l.Redacted(d.Streams).Reason, "retry", l.RetrySubject(d.service.Name, l.Consumer))
		return nil
	}
	if kept {
		d.metrics.deadLetters.Inc()
	}
	return err
}

// undecodable stores a message of the log that cannot be decoded as an event.
func (d *deadLetters) undecodable(ctx context.Context, r eventlog.Record) error {
	return d.keep(ctx, bus.DeadLetter{Consumer: bus.Undecodable, Stream: r.Stream, Sequence: r.Sequence,
		Subject: r.Subject, Reason: r.Err.Error(), Headers: r.Headers, Data: string(r.Data)})
}

// unreadable stores a message that Watermill's marshaler cannot read.
func (d *deadLetters) unreadable(ctx context.Context, m jetstream.Msg, reason error) error {
	meta, err := m.Metadata()
	if err != nil {
		return err
	}
	return d.keep(ctx, bus.DeadLetter{Consumer: bus.Undecodable, Stream: meta.Stream, Sequence: meta.Sequence.Stream,
		Subject: m.Subject(), Reason: reason.Error(), Headers: m.Headers(), Data: string(m.Data())})
}

// Publish implements message.Publisher for Watermill's poison queue. It works even if the
// message's context has ended, since the handler may have used up its time.
func (d *deadLetters) Publish(_ string, msgs ...*message.Message) error {
	for _, m := range msgs {
		dead, retried := m.Context().Value(retryKey{}).(bus.DeadLetter)
		if !retried {
			seq, _ := strconv.ParseUint(m.Metadata.Get(bus.MetaSequence), 10, 64)
			consumer, _, _ := strings.Cut(m.Metadata.Get(middleware.PoisonedHandlerKey), onPartition)
			dead = bus.DeadLetter{Consumer: consumer,
				Stream: m.Metadata.Get(bus.MetaStream), Sequence: seq, Subject: m.Metadata.Get(bus.MetaSubject),
				Headers: header(m), Data: string(m.Payload)}
		}
		dead.Reason = m.Metadata.Get(middleware.ReasonForPoisonedKey)
		if err := d.keep(context.WithoutCancel(m.Context()), dead); err != nil {
			return err
		}
	}
	return nil
}

// Close implements message.Publisher. It leaves the connection open.
func (d *deadLetters) Close() error { return nil }

// header returns a message's metadata as NATS headers, without what the subscriber and the
// router have added.
func header(m *message.Message) nats.Header {
	h := make(nats.Header, len(m.Metadata))
	for key, value := range m.Metadata {
		if !strings.HasPrefix(key, bus.MetaPrefix) && !strings.HasSuffix(key, "_poisoned") {
			h[key] = []string{value}
		}
	}
	return h
}

// retryKey is the context's key of the dead letter that a retried message becomes if it fails
// again.
type retryKey struct{}

// retries is the name of the consumer of the messages that are retried.
func (s *Service) retries() string { return s.Name + "-retries" }

// addRetries handles messages that are retried, each as the consumer that had failed would
// handle its first delivery.
func (s *Service) addRetries(router *message.Router, d *deps) error {
	if !d.Streams.HasConsumer(s.retries()) {
		return nil // nothing of the service can be retried
	}
	return d.consume(router, bus.RetryStream, s.retries(), func(ctx context.Context, m *message.Message) error {
		if consumer, stream, seq, err := bus.ParseRetry(m.Metadata.Get(bus.MetaSubject)); err == nil && d.retryTimer(consumer, stream, seq) {
			return nil
		}
		consumer, stored, err := d.retriedMessage(ctx, m)
		if errors.Is(err, errNotInLog) {
			err = fmt.Errorf("%w: %w", errGivenUp, err)
		}
		if err != nil {
			return err
		}
		if consumer == s.deferred() {
			return d.handleDeferred(ctx, m, stored, true)
		}
		all := s.reactions()
		i := slices.IndexFunc(all, func(r Reaction) bool { return r.Consumer == consumer })
		return d.react(ctx, all[i], m, stored)
	})
}

// retriedMessage looks up the message to be retried on the stream of its consumer. The message
// on RETRIES only says which one it is; nothing else in it is believed. From here on, the dead
// letter of m is one of the message that was looked up.
func (d *deps) retriedMessage(ctx context.Context, m *message.Message) (consumer string, stored eventlog.Record, err error) {
	consumer, stream, seq, err := bus.ParseRetry(m.Metadata.Get(bus.MetaSubject))
	if err != nil {
		return consumer, stored, fmt.Errorf("%w: %w", errGivenUp, err)
	}
	if consumer == d.service.retries() || !slices.Contains(d.service.consumers(d.Streams), consumer) || !slices.Contains(d.Streams.StreamsOf(consumer), stream) {
		return consumer, stored, fmt.Errorf("%w: service %s has no consumer %s on %s", errGivenUp, d.service.Name, consumer, stream)
	}
	stored, err = d.messageAt(ctx, stream, seq, m.Metadata.Get(eventlog.HeaderID), m.Payload)
	if errors.Is(err, errNotInLog) && m.Metadata.Get(HeaderOriginalPosition) != "" {
		stored, err = d.reminderEvent(ctx, m.Metadata.Get, m.Payload) // of a reminder that has expired
	}
	if err == nil && stored.Stream == stream && !slices.Contains(d.Streams.ConsumersOf(stream, stored.Subject), consumer) {
		err = fmt.Errorf("%w: consumer %s does not read the subject %s", errGivenUp, consumer, stored.Subject)
	}
	if err == nil {
		m.SetContext(context.WithValue(m.Context(), retryKey{}, bus.DeadLetter{Consumer: consumer,
			Stream: stream, Sequence: seq, Subject: stored.Subject, Headers: header(m), Data: string(m.Payload)}))
	}
	return consumer, stored, err
}
