package audit

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"lonja/kit/bus"
	"lonja/kit/eventlog"
)

// patience bounds the wait for the next message of a stream, because a replica
// of the stream may be behind.
const patience = 5 * time.Second

// read calls handle for the messages of a stream, in order, up to the sequence
// through. Subjects limits it to those subjects; nil reads everything. It returns
// early when the subjects hold nothing more. When it reads everything, it also
// returns early when no message arrives in time: the stream is then shorter than
// its state claims.
func read(ctx context.Context, js jetstream.JetStream, stream string, subjects []string, through uint64, handle func(seq uint64, m jetstream.Msg) error) error {
	if through == 0 {
		return nil
	}
	cons, err := js.OrderedConsumer(ctx, stream, jetstream.OrderedConsumerConfig{FilterSubjects: subjects})
	if err != nil {
		return fmt.Errorf("read %s: %w", stream, err)
	}
	if cons.CachedInfo().NumPending == 0 {
		return nil
	}
	messages, err := cons.Messages(jetstream.PullMaxMessages(2_000))
	if err != nil {
		return fmt.Errorf("read %s: %w", stream, err)
	}
	defer messages.Stop()
	for {
		m, err := messages.Next(jetstream.NextMaxWait(patience))
		if errors.Is(err, context.DeadlineExceeded) || errors.Is(err, jetstream.ErrMsgIteratorClosed) || errors.Is(err, jetstream.ErrNoMessages) {
			return ctx.Err()
		}
		if err != nil {
			return fmt.Errorf("read %s: %w", stream, err)
		}
		meta, err := m.Metadata()
		if err != nil {
			return fmt.Errorf("read %s: %w", stream, err)
		}
		if meta.Sequence.Stream > through {
			return ctx.Err()
		}
		if err := handle(meta.Sequence.Stream, m); err != nil {
			return err
		}
		if meta.Sequence.Stream == through || len(subjects) > 0 && meta.NumPending == 0 || ctx.Err() != nil {
			return ctx.Err()
		}
	}
}

// readEvents reads every stream of events once, and then checks what only all
// streams together can show.
func (a *audit) readEvents(ctx context.Context) error {
	m := newModel(a)
	for _, s := range a.eventStreams() {
		if err := a.readStream(ctx, s, m); err != nil {
			return err
		}
	}
	m.checkOrders()
	return nil
}

func (a *audit) readStream(ctx context.Context, stream string, m *model) error {
	last, events := uint64(0), uint64(0)
	handle := func(seq uint64, msg jetstream.Msg) error {
		if seq <= last {
			return nil // seen by an earlier attempt
		}
		a.checkGap(stream, last, seq)
		last = seq
		r := a.log.Read(stream, seq, msg.Subject(), msg.Headers(), msg.Data())
		if r.Event == nil {
			a.checkDeadLettered(r)
			return nil
		}
		events++
		m.apply(r)
		return nil
	}
	// A cluster that has just elected new leaders may not answer the first attempt.
	var err error
	for range 3 {
		if err = read(ctx, a.JetStream, stream, nil, a.cuts[stream].causes, handle); !errors.Is(err, nats.ErrTimeout) {
			break
		}
	}
	if err == nil { // after an error, what is missing is not known
		a.checkGap(stream, last, a.cuts[stream].causes+1)
	}
	a.report.Streams = append(a.report.Streams, StreamSummary{Stream: stream, Events: events, Last: last})
	return err
}

// checkGap checks that nothing is missing between two messages.
func (a *audit) checkGap(stream string, last, seq uint64) {
	switch missing := seq - last - 1; {
	case missing == 1:
		a.violate(Violation{Check: Log, Stream: stream, Sequence: last + 1, Problem: "is missing"})
	case missing > 1:
		a.violate(Violation{Check: Log, Stream: stream, Sequence: last + 1, Problem: fmt.Sprintf("is missing, and so is every message up to %d", seq-1)})
	}
}

// checkDeadLettered checks a message that cannot be decoded as an event. Anyone
// with the right key can publish one by hand. The shop must have noticed it and
// must hold a dead letter for it.
func (a *audit) checkDeadLettered(r eventlog.Record) {
	if a.reactions.isDeadLettered(bus.Undecodable, r.Stream, r.Sequence) {
		a.report.Undecodable++
		return
	}
	why := r.Err.Error()
	if r.Stream == identityStream {
		why = "its content is not shown"
	}
	a.violate(Violation{Check: Decoding, Stream: r.Stream, Sequence: r.Sequence, Problem: fmt.Sprintf(
		"is not an event and has no dead letter (subject %q): %s", r.Subject, why)})
}

// identityStream is the stream that holds secrets. Its payloads are never shown.
const identityStream = "IDENTITY"
