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
// Both functions only read the log. An audit takes about 300 bytes of memory for each user, 50 for
// each session and 100 for each product. What it must know of each order and each event's id is put
// aside in partitions, in a temporary file of about 100 bytes an event, and checked partition by
// partition: so orders and events take 100 MB at most, whatever their number. It keeps no payloads.
//
// An audit can go on from an earlier one; see [State].
package audit

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"time"

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
	// Keys opens sealed events for the views of services that have some; nil leaves these
	// views out. The log itself is judged without keys.
	Keys eventlog.KeyRing
	// Settled reports everything that is still under way as a violation.
	Settled bool
	// Since, when not nil, is what an earlier audit knew: only what came after it is read. What was
	// before is trusted, except that each stream must still reach back to its beginning without a
	// gap and hold the same message where that audit ended. Views are compared as a whole.
	Since *State
	// Save is the file to write the audit's state to, for a later audit's Since; "" writes none. It
	// is written only if there is no violation in the log; see Report.Saved. It holds ids and no
	// personal data.
	Save string
	// OnViolation is called with each violation as soon as it is found, by one goroutine at a
	// time. It may be nil.
	OnViolation func(Violation)
	// OnProgress is called now and then with how many messages were read, and how many there are
	// to read, by one goroutine at a time. It may be nil.
	OnProgress func(read, of uint64)
}

// Run audits the shop and returns what it found. An error means that the audit
// could not be completed: a declared stream is missing, NATS does not answer, or a
// view cannot be read. Violations are not errors; see [Report.Violations].
func Run(ctx context.Context, c Config) (_ *Report, err error) {
	if c.Streams, err = c.Streams.Present(ctx, c.JetStream); err != nil {
		return nil, err
	}
	a := &audit{Config: c, now: time.Now(), ages: map[string]time.Duration{}, begins: map[string]uint64{}, log: eventlog.New(c.JetStream, c.Codec), report: &Report{onViolation: c.OnViolation}}
	a.log.Layout = c.Streams.Layout
	for _, step := range []func(context.Context) error{a.checkConfiguration, a.readReactions, a.takeCuts, a.checkSince, a.readEvents, a.checkViews} {
		if err := step(ctx); err != nil {
			return nil, err
		}
	}
	return a.report, nil
}

// audit is one running audit.
type audit struct {
	Config
	log        *eventlog.Log
	report     *Report
	reactions  reactions
	now        time.Time                // when the audit began
	ages       map[string]time.Duration // at which streams remove events, those that do
	begins     map[string]uint64        // the first sequence of each stream of events
	cuts       map[string]cut           // of each stream of events
	lastErased uint64                   // sequence of the last erasure, 0 for none
	counted    atomic.Uint64            // messages that were read
	showing    sync.Mutex               // held during OnProgress
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
	a.begins[name] = max(1, stream.CachedInfo().Config.FirstSeq) // later than 1 for a partition that was added
	if eventlog.RemovesByAge(stream.CachedInfo().Config) {
		a.ages[name] = stream.CachedInfo().Config.MaxAge
	} else if s.Msgs > 0 && s.FirstSeq != a.begins[name] {
		a.violate(Violation{Check: Log, Stream: name, Problem: fmt.Sprintf("begins at sequence %d, not at %d", s.FirstSeq, a.begins[name])})
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

// progress counts a message that was read.
func (a *audit) progress() {
	const often = 1024
	if n := a.counted.Add(1); a.OnProgress != nil && n%often == 0 && a.showing.TryLock() {
		a.OnProgress(n, a.total())
		a.showing.Unlock()
	}
}

func (a *audit) violate(v Violation) { a.report.add(v) }
