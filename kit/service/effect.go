package service

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"lonja/kit/decider"
	"lonja/kit/eventlog"
	"lonja/kit/natsauth"
	"lonja/kit/projection"
)

// Effect declares that the service does something outside, such as asking a payment provider for
// money, and records what came of it. See [Call] for its handlers.
//
// The rows of a view say which events still call for it, as those of a [Timer] do; so what waits
// for the outside takes no place in any consumer, and a provider that hangs delays nobody else.
// Exactly one replica works on an event at a time: it has a claim on the stream [ClaimStream],
// which ends by itself when the replica has died. A call that fails is made again after pauses
// that grow, by any replica, for as long as Patience says; then the event that says so is
// recorded.
//
// A call is made at least once: the program may end between a call and the event that records
// it, and a replica that was paused for longer than its claim may come back to it. So every call
// for an event has the same key, by which the outside can tell a second one.
type Effect struct {
	// Name is part of keys and of the ids of commands, so it must never change. It begins with the
	// service's name and a dash.
	Name   string
	Stream string           // of the events
	View   *projection.View // one of Service.Views
	// Pending is SQL as Timer.Pending. A row must be there until what came of the call is
	// recorded, and due when the call may be made first.
	Pending  string
	Handlers []Handler     // made by Call
	Timeout  time.Duration // of one call; 0 means 10 s
	AtOnce   int           // how many calls a replica makes at a time; 0 means 4
	Pause    time.Duration // after the first call that fails; it doubles up to ten minutes. 0 means 1 s
	Patience time.Duration // how long after an event is due calls are made again; 0 means a day
}

const (
	// longestPause is the longest time between two calls for an event.
	longestPause = 10 * time.Minute
	// claimMargin is how much longer than a call its claim is: the time to record what came of it.
	claimMargin = 5 * time.Second
)

// Attempt is one call for an event.
type Attempt struct {
	Key    string    // the same in each call for the event; safe to show to others
	Number int       // from 1 on
	Due    time.Time // when the first call could be made, by the server's time
}

// Outcome is what came of the calls for an event.
type Outcome[R any] struct {
	Result R     // of the call that succeeded
	Err    error // why the last call failed, if the effect was given up; nil if one succeeded
	Tries  int   // how many calls were made, at least
}

// Permanent marks the error of a call that would fail again in the same way: the effect is given
// up at once. It returns nil for nil.
func Permanent(err error) error {
	if err == nil {
		return nil
	}
	return permanent{err}
}

// IsPermanent reports whether an error, such as that of an Outcome, was marked by Permanent.
func IsPermanent(err error) bool { return errors.As(err, new(permanent)) }

type permanent struct{ error }

func (p permanent) Unwrap() error { return p.error }

// RetryTime returns how long RetryAfter says to wait, 0 if it says nothing.
func RetryTime(err error) time.Duration {
	var told retryAfter
	if errors.As(err, &told) {
		return told.after
	}
	return 0
}

// RetryAfter marks the error of a call that should not be made again before a time has passed,
// because the outside said so. It returns nil for nil.
func RetryAfter(err error, after time.Duration) error {
	if err == nil {
		return nil
	}
	return retryAfter{err, after}
}

type retryAfter struct {
	error
	after time.Duration
}

func (r retryAfter) Unwrap() error { return r.error }

// Call declares a call of something outside because of the event E, in three steps. Target names
// the entity that the event concerns, and whose state is S; "" means none.
//
//   - Plan is a pure function that says what to ask, from the state at that moment. It reports
//     false if nothing needs to be asked any more. Then the event's row must go by itself.
//   - Perform asks. Its context ends after Effect.Timeout, and when the service stops. Its error is
//     logged, kept with the claim for a while, and given to record in the end, so it must contain
//     nothing secret. See Permanent and RetryAfter.
//   - Record is a decision that returns the event which says what came of it. It may be called
//     several times. The command has the Attempt's Key as its id, so one event is recorded.
func Call[S any, E eventlog.Event, Q, R any](d *decider.Decider[S], target func(E) string,
	plan func(S, E) (Q, bool),
	perform func(context.Context, Attempt, Q) (R, error),
	record func(S, E, Outcome[R], decider.Meta) (eventlog.Event, error)) *CallHandler[S, E, Q, R] {
	return &CallHandler[S, E, Q, R]{decider: d, target: target, plan: plan, perform: perform, record: record}
}

// CallHandler is a declared call of something outside. It is an element of Effect.Handlers.
type CallHandler[S any, E eventlog.Event, Q, R any] struct {
	decider *decider.Decider[S]
	target  func(E) string
	plan    func(S, E) (Q, bool)
	perform func(context.Context, Attempt, Q) (R, error)
	record  func(S, E, Outcome[R], decider.Meta) (eventlog.Event, error)
	effect  *Effect
}

func (h *CallHandler[S, E, Q, R]) eventName() string { var e E; return e.EventName() }

func (h *CallHandler[S, E, Q, R]) permissions() natsauth.Permissions { return h.decider.Permissions() }

func (h *CallHandler[S, E, Q, R]) bind(log *eventlog.Log, config decider.Config) {
	h.decider.Bind(log, config)
}

func (h *CallHandler[S, E, Q, R]) of(e *Effect) { h.effect = e }

// errPlanned ends a decision that has only made a plan.
var errPlanned = errors.New("what to ask is planned")

func (h *CallHandler[S, E, Q, R]) handle(ctx context.Context, cmd decider.Command, event eventlog.Record, d *deps) error {
	e := event.Event.(E)
	if cmd.EntityID = h.target(e); cmd.EntityID == "" {
		return nil
	}
	cmd.SameEntity = true // the id is derived from the event's
	var ask Q
	needed := false
	_, err := h.decider.Decide(ctx, cmd, func(s S, _ decider.Meta) (eventlog.Event, error) {
		ask, needed = h.plan(s, e)
		return nil, errPlanned
	}, nil)
	if !errors.Is(err, errPlanned) {
		return err // the log does not answer; nil if the outcome is recorded already
	}
	if !needed {
		return nil
	}
	outcome := Outcome[R]{}
	over, err := d.attempt(ctx, h.effect, cmd.ID, event.Number, func(ctx context.Context, a Attempt) (err error) {
		outcome.Result, err = h.perform(ctx, a, ask)
		return err
	})
	if err != nil || over == nil {
		return err
	}
	outcome.Err, outcome.Tries = over.err, over.tries
	_, err = h.decider.Decide(ctx, cmd, func(s S, m decider.Meta) (eventlog.Event, error) { return h.record(s, e, outcome, m) }, nil)
	return err
}

// over says that no further call is made for an event: one has succeeded, or err is why not.
type over struct {
	err   error
	tries int
}

// attempt makes one call for the event with a number, if it is this replica's turn. It returns
// nil when there is to be another one, which it has arranged.
func (d *deps) attempt(ctx context.Context, e *Effect, key string, number uint64, call func(context.Context, Attempt) error) (*over, error) {
	mine, free, err := d.takeClaim(ctx, e, number)
	if err != nil {
		return nil, err
	}
	if mine == nil {
		d.clocks[e.Name].postpone(number, free)
		return nil, nil
	}
	due := dueOf(ctx)
	calling, stop := d.clocks[e.Name].untilClosed(ctx, e.timeout())
	began := time.Now()
	err = call(calling, Attempt{Key: key, Number: mine.Tries, Due: due})
	observe(d.metrics.effects, e.Name, began, false, err)
	stopped := calling.Err() != nil && !errors.Is(calling.Err(), context.DeadlineExceeded)
	stop()
	now := d.Clock()
	switch {
	case err == nil:
		return &over{tries: mine.Tries}, nil
	case stopped: // the service stops: another replica may go on at once
		return nil, d.releaseClaim(context.WithoutCancel(ctx), e, number, mine, now, err)
	case IsPermanent(err), now.Sub(due) >= e.patience():
		return &over{err, mine.Tries}, nil
	}
	next := now.Add(e.pause(mine.Tries, err))
	d.Logger.Warn("a call failed and is made again", "effect", e.Name, "key", key, "try", mine.Tries, "next", next.UTC().Format(time.RFC3339), "reason", err)
	if err := d.releaseClaim(ctx, e, number, mine, next, err); err != nil {
		return nil, err
	}
	d.clocks[e.Name].postpone(number, next)
	return nil, nil
}

func (e *Effect) timeout() time.Duration { return cmp.Or(e.Timeout, 10*time.Second) }

func (e *Effect) patience() time.Duration { return cmp.Or(e.Patience, 24*time.Hour) }

// pause returns how long to wait after so many calls, the last of which has failed. A fifth of it
// is random, so that what failed together does not come back together.
func (e *Effect) pause(tries int, err error) time.Duration {
	wait := max(min(cmp.Or(e.Pause, time.Second)<<min(tries-1, 20), longestPause), RetryTime(err))
	return wait + time.Duration(rand.Int64N(int64(wait)/5+1))
}

// EventNames returns the names of the events that the effect is for, each once.
func (e Effect) EventNames() []string { return e.timer().EventNames() }

// timer returns the timer that finds the effect's events.
func (e *Effect) timer() *Timer {
	return &Timer{Name: e.Name, Stream: e.Stream, View: e.View, Pending: e.Pending, Handlers: e.Handlers}
}

// permissions returns what the effect requires on NATS, besides what its handlers do.
func (e *Effect) permissions() natsauth.Permissions {
	p := e.timer().permissions()
	p.Add(natsauth.AllowRead(ClaimStream), natsauth.AllowPublish(ClaimSubject(e.Name, "*")))
	return p
}

// checkEffects returns an error if an effect is declared wrongly.
func (s *Service) checkEffects(config *Config) error {
	for i := range s.Effects {
		e := &s.Effects[i]
		if err := s.checkTimer(e.timer()); err != nil {
			return fmt.Errorf("effect %q: %w", e.Name, err)
		}
		if !config.Streams.HasStream(ClaimStream) {
			return fmt.Errorf("effect %s: streams.yaml needs the stream %s", e.Name, ClaimStream)
		}
		for _, h := range e.Handlers {
			call, ok := h.(interface{ of(*Effect) })
			if !ok {
				return fmt.Errorf("effect %s: Handlers must be made by service.Call", e.Name)
			}
			call.of(e)
		}
	}
	return nil
}

// dueKey is the key under which a context holds when the event that is handled was due.
type dueKey struct{}

// dueOf returns when the event that a timer or an effect handles was due.
func dueOf(ctx context.Context) time.Time {
	due, _ := ctx.Value(dueKey{}).(time.Time)
	return due
}
