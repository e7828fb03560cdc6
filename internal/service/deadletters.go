package service

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/ThreeDotsLabs/watermill/message/router/middleware"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/prometheus/client_golang/prometheus"

	"lonja/internal/deadletter"
	"lonja/internal/eventlog"
	"lonja/internal/wire"
)

// deadLetters is the service's way to put a message aside. It is also the
// publisher of Watermill's poison queue.
type deadLetters struct {
	box   *deadletter.Box
	count prometheus.Counter
}

func (d *deadLetters) keep(ctx context.Context, l deadletter.Letter) error {
	kept, err := d.box.Keep(ctx, l)
	if kept {
		d.count.Inc()
	}
	return err
}

// undecodable keeps a message of the log that is no fact.
func (d *deadLetters) undecodable(ctx context.Context, r eventlog.Recorded) error {
	return d.keep(ctx, deadletter.Letter{Consumer: deadletter.Undecodable, Stream: r.Stream, Sequence: r.Sequence,
		Subject: r.Subject, Reason: r.Err.Error(), Headers: r.Headers, Data: string(r.Data)})
}

// unreadable keeps a message that is not even one of Watermill's.
func (d *deadLetters) unreadable(ctx context.Context, m jetstream.Msg, reason error) error {
	meta, err := m.Metadata()
	if err != nil {
		return err
	}
	return d.keep(ctx, deadletter.Letter{Consumer: deadletter.Undecodable, Stream: meta.Stream, Sequence: meta.Sequence.Stream,
		Subject: m.Subject(), Reason: reason.Error(), Headers: m.Headers(), Data: string(m.Data())})
}

// Publish implements message.Publisher for Watermill's poison queue.
func (d *deadLetters) Publish(_ string, msgs ...*message.Message) error {
	for _, m := range msgs {
		seq, _ := strconv.ParseUint(m.Metadata.Get(wire.MetaSequence), 10, 64)
		consumer, retried := m.Context().Value(retriedKey{}).(string)
		if !retried {
			consumer = m.Metadata.Get(middleware.PoisonedHandlerKey)
		}
		err := d.keep(m.Context(), deadletter.Letter{
			Consumer: consumer, Reason: m.Metadata.Get(middleware.ReasonForPoisonedKey),
			Stream: m.Metadata.Get(wire.MetaStream), Sequence: seq, Subject: m.Metadata.Get(wire.MetaSubject),
			Headers: header(m), Data: string(m.Payload),
		})
		if err != nil {
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
		if !strings.HasPrefix(key, wire.MetaPrefix) && !strings.HasSuffix(key, "_poisoned") {
			h[key] = []string{value}
		}
	}
	return h
}

// retriedKey is the context's key of the consumer that a letter is retried for.
type retriedKey struct{}

// retries is the name of the consumer that brings letters which are given back.
func (s *Service) retries() string { return s.Name + "-retries" }

// addRetries takes letters that are given back, each to the reaction that had
// failed, as if it came for the first time.
func (s *Service) addRetries(router *message.Router, d *deps) error {
	if len(s.Reactions) == 0 {
		return nil
	}
	return d.consume(router, s.retries(), func(ctx context.Context, m *message.Message) error {
		consumer := m.Metadata.Get(deadletter.HeaderConsumer)
		i := slices.IndexFunc(s.Reactions, func(r Reaction) bool { return r.Consumer == consumer })
		if i < 0 {
			return givenUp(m, fmt.Errorf("service %s has no reaction %q", s.Name, consumer))
		}
		m.SetContext(context.WithValue(m.Context(), retriedKey{}, consumer))
		m.Metadata.Set(wire.MetaStream, m.Metadata.Get(deadletter.HeaderStream))
		m.Metadata.Set(wire.MetaSequence, m.Metadata.Get(deadletter.HeaderSequence))
		m.Metadata.Set(wire.MetaSubject, m.Metadata.Get(deadletter.HeaderSubject))
		return d.react(ctx, s.Reactions[i], m)
	})
}
