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

// patience is how long the next message of a stream may take to come: a
// replica of the stream may be behind.
const patience = 5 * time.Second

// read calls see for the messages of a stream on some subjects ("" for all),
// in order, up to a sequence. It ends before when there is nothing more on the
// subjects, or, reading all, when nothing more came in time: then the stream is
// shorter than it said.
func read(ctx context.Context, js jetstream.JetStream, stream string, subjects []string, through uint64, see func(seq uint64, m jetstream.Msg) error) error {
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
		if err := see(meta.Sequence.Stream, m); err != nil {
			return err
		}
		if meta.Sequence.Stream == through || len(subjects) > 0 && meta.NumPending == 0 || ctx.Err() != nil {
			return ctx.Err()
		}
	}
}

// readFacts reads every stream of events once, then judges what only all of
// them together tell.
func (a *audit) readFacts(ctx context.Context) error {
	b := newBooks(a)
	for _, s := range a.factStreams() {
		if err := a.readStream(ctx, s, b); err != nil {
			return err
		}
	}
	b.judge()
	return nil
}

func (a *audit) readStream(ctx context.Context, stream string, b *books) error {
	last, facts := uint64(0), uint64(0)
	see := func(seq uint64, m jetstream.Msg) error {
		if seq <= last {
			return nil // a second try
		}
		a.checkGap(stream, last, seq)
		last = seq
		r := a.log.Read(stream, seq, m.Subject(), m.Headers(), m.Data())
		if r.Event == nil {
			a.noFact(r)
			return nil
		}
		facts++
		b.enter(r)
		return nil
	}
	// A cluster that has just chosen new leaders may not answer the first try.
	var err error
	for range 3 {
		if err = read(ctx, a.JetStream, stream, nil, a.cuts[stream].seen, see); !errors.Is(err, nats.ErrTimeout) {
			break
		}
	}
	if err == nil { // else nobody knows what is missing
		a.checkGap(stream, last, a.cuts[stream].seen+1)
	}
	a.report.Streams = append(a.report.Streams, StreamSummary{Stream: stream, Facts: facts, Last: last})
	return err
}

// checkGap checks that nothing is missing between two messages.
func (a *audit) checkGap(stream string, last, seq uint64) {
	switch missing := seq - last - 1; {
	case missing == 1:
		a.violate(Violation{Check: Log, Stream: stream, Sequence: last + 1, Problem: "is missing"})
	case missing > 1:
		a.violate(Violation{Check: Log, Stream: stream, Sequence: last + 1, Problem: fmt.Sprintf("is missing, and all up to %d", seq-1)})
	}
}

// noFact is told of a message that is no event. Anyone may publish such by
// hand; what the shop must do is to know, and to have put it aside.
func (a *audit) noFact(r eventlog.Record) {
	if a.reactions.waits(bus.Undecodable, r.Stream, r.Sequence) {
		a.report.NoFacts++
		return
	}
	why := r.Err.Error()
	if r.Stream == identityStream {
		why = "what it holds is not shown"
	}
	a.violate(Violation{Check: Decoding, Stream: r.Stream, Sequence: r.Sequence, Problem: fmt.Sprintf(
		"is no fact, and there is no dead letter of it (subject %q): %s", r.Subject, why)})
}

// identityStream holds secrets.
const identityStream = "IDENTITY"
