// Package audit looks at the shop from below: at the raw streams, not at what
// the services make of them. Run checks that they keep lonja's promises; Tell
// tells the story of one order, payment, product or user.
//
// The checks know the language of events and tables of their own, and nothing
// of how the services decide, so that a service's mistake cannot excuse itself.
// Only the views are made by the services' own projections: a view is to be a
// pure function of the log, so it is made once more and compared.
//
// An audit may run while the shop does. It looks at the log up to a cut, and
// never blames an event for what may still be under way:
//
//   - that an effect needs its cause is checked of all events before the cut;
//     the causes are looked for up to a second cut, taken later;
//   - that a cause has its effect is checked once the reaction's consumer has
//     acknowledged the cause (its ack floor, taken before the cut), unless the
//     reaction gave up and the cause waits in the dead letters.
//
// It holds some 350 bytes an order and 100 an event in memory, never payloads.
package audit

import (
	"context"
	"fmt"
	"strings"

	"github.com/nats-io/nats.go/jetstream"

	"lonja/kit/eventlog"
	"lonja/kit/service"
	"lonja/kit/streams"
)

// Config says what is audited.
type Config struct {
	JetStream jetstream.JetStream
	Language  eventlog.Codec
	Streams   *streams.Config
	// Services are fresh ones, not running, whose views are compared with the
	// files under Dir. When Dir is "" no views are.
	Services []*service.Service
	Dir      string
	// Settled makes it a violation that anything is still under way.
	Settled bool
	// Tell, which may be nil, is told of each violation as it is found.
	Tell func(Violation)
}

// Run audits the shop. An error means that the audit itself could not be done;
// what it found stands in the report.
func Run(ctx context.Context, c Config) (*Report, error) {
	a := &audit{Config: c, log: eventlog.New(c.JetStream, c.Language), report: &Report{tell: c.Tell}}
	for _, step := range []func(context.Context) error{a.checkConfiguration, a.readReactions, a.takeCuts, a.readFacts, a.checkViews} {
		if err := step(ctx); err != nil {
			return nil, err
		}
	}
	return a.report, nil
}

// audit is one audit on its way.
type audit struct {
	Config
	log       *eventlog.Log
	report    *Report
	reactions reactions
	cuts      map[string]cut // of each stream of events
}

// cut is where the audit's look at a stream ends: effects are judged up to
// judged, causes looked for up to seen, which was taken later.
type cut struct{ judged, seen uint64 }

// takeCuts looks at the streams of events: where they end, and whether the
// server itself knows of losses.
func (a *audit) takeCuts(ctx context.Context) error {
	a.cuts = map[string]cut{}
	for _, s := range a.factStreams() {
		last, err := a.checkState(ctx, s)
		if err != nil {
			return err
		}
		a.cuts[s] = cut{judged: last}
	}
	for s, c := range a.cuts {
		stream, err := a.JetStream.Stream(ctx, s)
		if err != nil {
			return fmt.Errorf("stream %s: %w", s, err)
		}
		c.seen = stream.CachedInfo().State.LastSeq
		a.cuts[s] = c
	}
	return nil
}

// checkState checks what a stream says of itself, and returns its last sequence.
func (a *audit) checkState(ctx context.Context, name string) (last uint64, err error) {
	stream, err := a.JetStream.Stream(ctx, name)
	if err != nil {
		return 0, fmt.Errorf("stream %s: %w", name, err)
	}
	s := stream.CachedInfo().State
	if s.Msgs > 0 && s.FirstSeq != 1 {
		a.violate(Violation{Check: Log, Stream: name, Problem: fmt.Sprintf("begins at %d, not at 1", s.FirstSeq)})
	}
	if s.NumDeleted > 0 {
		a.violate(Violation{Check: Log, Stream: name, Problem: fmt.Sprintf("%d messages were deleted, there should be none", s.NumDeleted)})
	}
	if s.Lost != nil && len(s.Lost.Msgs) > 0 {
		a.violate(Violation{Check: Log, Stream: name, Problem: fmt.Sprintf("the server lost %d messages, the first at %d", len(s.Lost.Msgs), s.Lost.Msgs[0])})
	}
	return s.LastSeq, nil
}

// factStreams are the streams that hold events, in streams.yaml's order.
func (a *audit) factStreams() []string {
	var names []string
	for _, s := range a.Streams.Streams {
		if len(s.Subjects) > 0 && strings.HasPrefix(s.Subjects[0], "events.") {
			names = append(names, s.Name)
		}
	}
	return names
}

func (a *audit) violate(v Violation) { a.report.add(v) }
