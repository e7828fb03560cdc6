package audit

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"golang.org/x/sync/errgroup"

	"lonja/kit/bus"
	"lonja/kit/eventlog"
	"lonja/kit/streams"
)

// patience bounds the wait for the next message of a stream, because a replica
// of the stream may be behind.
const patience = 5 * time.Second

// read calls handle for the messages of a stream, in order, after one sequence and up to
// another. Subjects limits it to those subjects; nil reads everything. It returns
// early when the subjects hold nothing more. When it reads everything, it also
// returns early when no message arrives in time: the stream is then shorter than
// its state claims.
func read(ctx context.Context, js jetstream.JetStream, stream string, subjects []string, after, through uint64, handle func(seq uint64, m jetstream.Msg) error) error {
	if through <= after {
		return nil
	}
	config := jetstream.OrderedConsumerConfig{FilterSubjects: subjects}
	if after > 0 {
		config.DeliverPolicy, config.OptStartSeq = jetstream.DeliverByStartSequencePolicy, after+1
	}
	cons, err := js.OrderedConsumer(ctx, stream, config)
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
func (a *audit) readEvents(ctx context.Context) (err error) {
	m := newModel(a, a.total())
	defer func() { err = errors.Join(err, m.close()) }()
	if a.Since != nil {
		if err := a.Since.restore(m); err != nil {
			return err
		}
	}
	if err := m.readStreams(ctx); err != nil {
		return err
	}
	s, err := a.newSaver()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.close()) }()
	if err := m.checkOrders(s.order()); err != nil {
		return err
	}
	if err := m.checkMentions(ctx, s.mention()); err != nil {
		return err
	}
	if err := m.checkAccounts(ctx); err != nil {
		return err
	}
	return s.finish(ctx, m)
}

// total returns how many messages the audit reads.
func (a *audit) total() (n uint64) {
	for name, c := range a.cuts {
		n += c.causes - min(c.causes, a.mark(name))
	}
	return n
}

// mark returns the sequence after which a stream is read.
func (a *audit) mark(name string) uint64 { return max(a.Since.mark(name), a.begins[name]-1) }

// readStreams reads the streams at the same time, but for the first, the catalogue, which the
// orders are checked against, and that of sessions, which are checked against the accounts. The
// partitions of a stream are read one after the other, since they share a part of the model.
func (m *model) readStreams(ctx context.Context) error {
	names := m.eventStreams()
	m.report.Streams = make([]StreamSummary, len(names))
	read := func(ctx context.Context, base string) error {
		for i, name := range names {
			if streams.BaseOf(name) == base {
				if err := m.readStream(ctx, i, name); err != nil {
					return err
				}
			}
		}
		return nil
	}
	if err := read(ctx, names[0]); err != nil {
		return err
	}
	reading, readingCtx := errgroup.WithContext(ctx)
	for _, name := range names[1:] {
		if name == streams.BaseOf(name) && name != sessionsStream {
			reading.Go(func() error { return read(readingCtx, name) })
		}
	}
	if err := reading.Wait(); err != nil {
		return err
	}
	return read(ctx, sessionsStream)
}

func (m *model) readStream(ctx context.Context, number int, stream string) error {
	after, through := m.mark(stream), m.cuts[stream].causes
	last, events, began := after, uint64(0), false
	handle := func(seq uint64, msg jetstream.Msg) error {
		if seq <= last {
			return nil // seen by an earlier attempt
		}
		if began || m.ages[stream] == 0 { // what is missing at the beginning has reached its age
			m.checkGap(stream, last, seq)
		}
		last, began = seq, true
		m.progress()
		r := m.log.Read(stream, seq, msg.Subject(), msg.Headers(), msg.Data())
		if r.Event == nil {
			m.checkDeadLettered(r)
			return nil
		}
		events++
		return m.apply(uint8(number), r)
	}
	// A cluster that has just elected new leaders may not answer the first attempt.
	var err error
	for range 3 {
		if err = read(ctx, m.JetStream, stream, nil, last, through, handle); !errors.Is(err, nats.ErrTimeout) {
			break
		}
	}
	if err == nil && (began || m.ages[stream] == 0) { // after an error, what is missing is not known
		m.checkGap(stream, last, through+1)
	}
	m.report.Streams[number] = StreamSummary{Stream: stream, Events: events, Last: last}
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
		a.report.addUndecodable()
		return
	}
	why := r.Err.Error()
	if r.Stream == identityStream || r.Stream == sessionsStream {
		why = "its content is not shown"
	}
	a.violate(Violation{Check: Decoding, Stream: r.Stream, Sequence: r.Sequence, Problem: fmt.Sprintf(
		"is not an event and has no dead letter (subject %q): %s", r.Subject, why)})
}

// identityStream is the stream that holds secrets. Its payloads are never shown.
const identityStream = "IDENTITY"

// sessionsStream is the stream of sessions, whose events name tokens by their hash.
const sessionsStream = "SESSIONS"
