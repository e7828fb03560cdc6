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

// deadLetters is the service's way to put a message aside. It is also the
// publisher of Watermill's poison queue.
type deadLetters struct {
	*deps
	box *bus.DeadLetterQueue
}

// keep puts a message aside. When there is no room for its letter that is told as
// loudly as can be, and the message is done with all the same: it still is where it
// was, while a view or a reaction that waited for room would stand still.
func (d *deadLetters) keep(ctx context.Context, l bus.DeadLetter) error {
	kept, err := d.box.Add(ctx, l)
	if errors.Is(err, bus.ErrDeadLettersFull) {
		d.metrics.full.WithLabelValues(bus.DeadLetterStream).Inc()
		// An operator can give it back without a letter, by this place alone.
		d.Logger.Error("a message could not be handled, and there is no room for a dead letter of it", "error", err,
			"message", eventlog.Position(l.Stream, l.Sequence), "reason", l.Redacted(d.Streams).Reason, "retry", l.RetrySubject(d.service.Name, l.Consumer))
		return nil
	}
	if kept {
		d.metrics.deadLetters.Inc()
	}
	return err
}

// undecodable keeps a message of the log that is no event.
func (d *deadLetters) undecodable(ctx context.Context, r eventlog.Record) error {
	return d.keep(ctx, bus.DeadLetter{Consumer: bus.Undecodable, Stream: r.Stream, Sequence: r.Sequence,
		Subject: r.Subject, Reason: r.Err.Error(), Headers: r.Headers, Data: string(r.Data)})
}

// unreadable keeps a message that is not even one of Watermill's.
func (d *deadLetters) unreadable(ctx context.Context, m jetstream.Msg, reason error) error {
	meta, err := m.Metadata()
	if err != nil {
		return err
	}
	return d.keep(ctx, bus.DeadLetter{Consumer: bus.Undecodable, Stream: meta.Stream, Sequence: meta.Sequence.Stream,
		Subject: m.Subject(), Reason: reason.Error(), Headers: m.Headers(), Data: string(m.Data())})
}

// Publish implements message.Publisher for Watermill's poison queue. It works even if
// the message's context has ended: the handler may have used up its time.
func (d *deadLetters) Publish(_ string, msgs ...*message.Message) error {
	for _, m := range msgs {
		letter, retried := m.Context().Value(retriedKey{}).(bus.DeadLetter)
		if !retried {
			seq, _ := strconv.ParseUint(m.Metadata.Get(bus.MetaSequence), 10, 64)
			letter = bus.DeadLetter{Consumer: m.Metadata.Get(middleware.PoisonedHandlerKey),
				Stream: m.Metadata.Get(bus.MetaStream), Sequence: seq, Subject: m.Metadata.Get(bus.MetaSubject),
				Headers: header(m), Data: string(m.Payload)}
		}
		letter.Reason = m.Metadata.Get(middleware.ReasonForPoisonedKey)
		if err := d.keep(context.WithoutCancel(m.Context()), letter); err != nil {
			return err
		}
	}
	return nil
}

// Close implements message.Publisher; the connection is not its own.
func (d *deadLetters) Close() error { return nil }

// header is a message's metadata as NATS headers, without what was added on
// its way.
func header(m *message.Message) nats.Header {
	h := make(nats.Header, len(m.Metadata))
	for key, value := range m.Metadata {
		if !strings.HasPrefix(key, bus.MetaPrefix) && !strings.HasSuffix(key, "_poisoned") {
			h[key] = []string{value}
		}
	}
	return h
}

// retriedKey is the context's key of the letter that is made of a message when it
// is retried in vain.
type retriedKey struct{}

// retries is the name of the consumer that brings letters which are given back.
func (s *Service) retries() string { return s.Name + "-retries" }

// addRetries takes letters that are given back, each for the consumer that had
// failed, as if its message came for the first time.
func (s *Service) addRetries(router *message.Router, d *deps) error {
	if !d.Streams.HasConsumer(s.retries()) {
		return nil // nothing of it can be retried
	}
	return d.consume(router, s.retries(), func(ctx context.Context, m *message.Message) error {
		consumer, stored, err := d.givenBack(ctx, m)
		if errors.Is(err, errGone) {
			err = fmt.Errorf("%w: %w", errGivenUp, err)
		}
		if err != nil {
			return err
		}
		if consumer == s.deferred() {
			return d.takeUp(ctx, m, stored, true)
		}
		i := slices.IndexFunc(s.Reactions, func(r Reaction) bool { return r.Consumer == consumer })
		return d.react(ctx, s.Reactions[i], m, stored)
	})
}

// givenBack looks up the message that is to be retried, on the stream of its
// consumer. What whoever gives it back says about it only tells which one it was.
// From here on a letter of m is one of the message.
func (d *deps) givenBack(ctx context.Context, m *message.Message) (consumer string, stored eventlog.Record, err error) {
	consumer, stream, seq, err := bus.ParseRetry(m.Metadata.Get(bus.MetaSubject))
	if err != nil {
		return consumer, stored, fmt.Errorf("%w: %w", errGivenUp, err)
	}
	if consumer == d.service.retries() || !slices.Contains(d.service.consumers(d.Streams), consumer) || d.Streams.StreamOf(consumer) != stream {
		return consumer, stored, fmt.Errorf("%w: service %s has no consumer %s on %s", errGivenUp, d.service.Name, consumer, stream)
	}
	stored, err = d.find(ctx, stream, seq, m.Metadata.Get(eventlog.HeaderID), m.Payload)
	if errors.Is(err, errGone) && m.Metadata.Get(HeaderOriginalPosition) != "" {
		stored, err = d.original(ctx, m.Metadata.Get, m.Payload) // a reminder that is no longer kept
	}
	if err == nil && stored.Stream == stream && !slices.Contains(d.Streams.ConsumersOf(stream, stored.Subject), consumer) {
		err = fmt.Errorf("%w: %s takes nothing of %s", errGivenUp, consumer, stored.Subject)
	}
	if err == nil {
		m.SetContext(context.WithValue(m.Context(), retriedKey{}, bus.DeadLetter{Consumer: consumer,
			Stream: stream, Sequence: seq, Subject: stored.Subject, Headers: header(m), Data: string(m.Payload)}))
	}
	return consumer, stored, err
}
