// Package audit checks the shop against its raw streams, independently of what
// the services make of them. [Run] reports every promise that the log or a view
// breaks. [Timeline] lists the events of one order, payment, product or user,
// each with its cause.
//
// The checks know the event types and have tables of their own. They share no
// code with the services' decisions, so a bug in a service cannot hide itself.
// Only the views are rebuilt with the services' own projections: a view must be
// a pure function of the log, so the audit builds it again and compares the rows.
//
// An audit can run while the shop runs. It reads the log up to a cut, and never
// reports work that may still be under way:
//
//   - Every effect before the cut must have its cause. Causes are searched up to
//     a second cut, which is taken later.
//   - Every cause must have its effect once the reaction's consumer has
//     acknowledged the cause (its ack floor is read before the cut), unless the
//     reaction gave up and the cause is a dead letter.
//
// Both functions only read. An audit takes about 350 bytes of memory for each
// order and 100 for each event. It keeps no payloads.
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

// Config describes one audit. JetStream, Codec and Streams are required.
type Config struct {
	JetStream jetstream.JetStream
	Codec     eventlog.Codec
	Streams   *streams.Config
	// Services are new, not running services. Their views are rebuilt and compared
	// with the files in Dir/SERVICE/REPLICA. An empty Dir compares no views.
	Services []*service.Service
	Dir      string
	// Settled reports everything that is still under way as a violation.
	Settled bool
	// OnViolation is called with each violation as soon as it is found, from the
	// goroutine that called Run. It may be nil.
	OnViolation func(Violation)
}

// Run audits the shop and returns what it found. An error means that the audit
// could not be completed: a declared stream is missing, NATS does not answer, or a
// view cannot be read. Violations are not errors; see [Report.Violations].
func Run(ctx context.Context, c Config) (*Report, error) {
	a := &audit{Config: c, log: eventlog.New(c.JetStream, c.Codec), report: &Report{onViolation: c.OnViolation}}
	for _, step := range []func(context.Context) error{a.checkConfiguration, a.readReactions, a.takeCuts, a.readEvents, a.checkViews} {
		if err := step(ctx); err != nil {
			return nil, err
		}
	}
	return a.report, nil
}

// audit is one running audit.
type audit struct {
	Config
	log       *eventlog.Log
	report    *Report
	reactions reactions
	cuts      map[string]cut // of each stream of events
}

// cut is where the audit stops reading a stream. Effects are checked up to the
// sequence effects. Causes are searched up to the sequence causes, which is read
// later.
type cut struct{ effects, causes uint64 }

// takeCuts reads where the streams of events end, and checks whether the server
// itself reports losses.
func (a *audit) takeCuts(ctx context.Context) error {
	a.cuts = map[string]cut{}
	for _, s := range a.eventStreams() {
		last, err := a.checkState(ctx, s)
		if err != nil {
			return err
		}
		a.cuts[s] = cut{effects: last}
	}
	for s, c := range a.cuts {
		stream, err := a.JetStream.Stream(ctx, s)
		if err != nil {
			return fmt.Errorf("stream %s: %w", s, err)
		}
		c.causes = stream.CachedInfo().State.LastSeq
		a.cuts[s] = c
	}
	return nil
}

// checkState checks a stream's state as the server reports it, and returns the
// last sequence.
func (a *audit) checkState(ctx context.Context, name string) (last uint64, err error) {
	stream, err := a.JetStream.Stream(ctx, name)
	if err != nil {
		return 0, fmt.Errorf("stream %s: %w", name, err)
	}
	s := stream.CachedInfo().State
	if s.Msgs > 0 && s.FirstSeq != 1 {
		a.violate(Violation{Check: Log, Stream: name, Problem: fmt.Sprintf("begins at sequence %d, not at 1", s.FirstSeq)})
	}
	if s.NumDeleted > 0 {
		a.violate(Violation{Check: Log, Stream: name, Problem: fmt.Sprintf("%d messages were deleted; expected none", s.NumDeleted)})
	}
	if s.Lost != nil && len(s.Lost.Msgs) > 0 {
		a.violate(Violation{Check: Log, Stream: name, Problem: fmt.Sprintf("the server lost %d messages, the first at %d", len(s.Lost.Msgs), s.Lost.Msgs[0])})
	}
	return s.LastSeq, nil
}

// eventStreams returns the names of the streams that hold events, in the order of
// streams.yaml.
func (a *audit) eventStreams() []string {
	var names []string
	for _, s := range a.Streams.Streams {
		if len(s.Subjects) > 0 && strings.HasPrefix(s.Subjects[0], "events.") {
			names = append(names, s.Name)
		}
	}
	return names
}

func (a *audit) violate(v Violation) { a.report.add(v) }
