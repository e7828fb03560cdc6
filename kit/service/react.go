package service

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"

	"lonja/kit/decider"
	"lonja/kit/errs"
	"lonja/kit/eventlog"
	"lonja/kit/natsauth"
)

// React declares that the service reacts to the event E by a decision on an entity with the
// state S. Target names the entity; "" means that the event concerns none. The decision
// returns the event to record, or nil for none; it may be called several times. Nobody waits
// for an answer, so every error but Unavailable is a fault of the reaction: it is retried, and
// ends in a dead letter after six failures. An Unavailable error is retried until it is gone.
func React[S any, E eventlog.Event](d *decider.Decider[S], target func(E) string,
	decide func(S, E, decider.Meta) (eventlog.Event, error)) *ReactionHandler[S, E] {
	return &ReactionHandler[S, E]{decider: d, target: target, prepare: func(_ context.Context, e E, _ uint64) (decider.Decide[S], error) {
		return func(s S, m decider.Meta) (eventlog.Event, error) { return decide(s, e, m) }, nil
	}}
}

// ReactWith is React for a decision that may need more than the entity's state. The decision
// says so with the error decider.NeedsLookup. Then lookup fetches what is missing, which must
// include the entity's events up to the sequence least, and the result is passed to the
// decision, which is made again. Until a first decision has asked, none gets more than the zero
// K; then each gets a result from the beginning, for which least is 0. Lookup runs while other
// decisions on the entity are made, so it may be slow. Its error is the reaction's.
func ReactWith[S any, E eventlog.Event, K any](d *decider.Decider[S], target func(E) string,
	lookup func(ctx context.Context, e E, least uint64) (K, error),
	decide func(S, E, K, decider.Meta) (eventlog.Event, error)) *ReactionHandler[S, E] {
	h := &ReactionHandler[S, E]{decider: d, target: target}
	h.prepare = func(ctx context.Context, e E, least uint64) (made decider.Decide[S], err error) {
		var found K
		if h.looksUp.Load() {
			if found, err = lookup(ctx, e, least); err != nil {
				return nil, err
			}
		}
		return func(s S, m decider.Meta) (eventlog.Event, error) { return decide(s, e, found, m) }, nil
	}
	return h
}

// maxDecisions is how many times one delivery of an event is decided, with more looked up each time.
const maxDecisions = 5

// ReactionHandler is a declared reaction that decides.
type ReactionHandler[S any, E eventlog.Event] struct {
	decider    *decider.Decider[S]
	target     func(E) string
	prepare    func(ctx context.Context, e E, least uint64) (decider.Decide[S], error)
	looksUp    atomic.Bool // a decision has needed a lookup
	idempotent bool
	reply      func(S, eventlog.Event) any
}

// Idempotent promises that the decision records nothing for an event that it has already handled,
// by the state and the lookup alone. It spares an entity with very many events to remember each
// of them; see decider.Command.Idempotent.
func (h *ReactionHandler[S, E]) Idempotent() *ReactionHandler[S, E] {
	h.idempotent = true
	return h
}

// Reply sets the function that makes the answer of a command that goes on with this reaction;
// see CommandHandler.Then. The rules are those of CommandHandler.Reply.
func (h *ReactionHandler[S, E]) Reply(reply func(S, eventlog.Event) any) *ReactionHandler[S, E] {
	h.reply = reply
	return h
}

func (h *ReactionHandler[S, E]) eventName() string { var e E; return e.EventName() }

func (h *ReactionHandler[S, E]) permissions() natsauth.Permissions { return h.decider.Permissions() }

func (h *ReactionHandler[S, E]) bind(log *eventlog.Log, config decider.Config) {
	h.decider.Bind(log, config)
}

func (h *ReactionHandler[S, E]) handle(ctx context.Context, cmd decider.Command, event eventlog.Record, _ *deps) error {
	_, err := h.run(ctx, cmd, event, nil)
	if r, coded := errs.As(err); coded && r.Code != errs.Unavailable {
		// Nobody waits for the answer, so a rejection here is a fault of the reaction.
		return fmt.Errorf("a reaction's decision returned an error: %w", err)
	}
	return err
}

// follow runs the reaction on behalf of a command.
func (h *ReactionHandler[S, E]) follow(ctx context.Context, cmd decider.Command, event eventlog.Record) (decider.Receipt, error) {
	return h.run(ctx, cmd, event, h.reply)
}

func (h *ReactionHandler[S, E]) run(ctx context.Context, cmd decider.Command, event eventlog.Record, reply func(S, eventlog.Event) any) (decider.Receipt, error) {
	e := event.Event.(E)
	if cmd.EntityID = h.target(e); cmd.EntityID == "" {
		return decider.Receipt{}, nil
	}
	cmd.SameEntity = true // the id is derived from the event's
	cmd.Idempotent = h.idempotent
	ctx = context.WithValue(ctx, eventIDKey{}, event.ID)
	least := uint64(0)
	for range maxDecisions {
		decide, err := h.prepare(ctx, e, least)
		if err != nil {
			return decider.Receipt{}, err
		}
		receipt, err := h.decider.Decide(ctx, cmd, decide, reply)
		var more *decider.NeedsLookup
		if !errors.As(err, &more) {
			return receipt, err
		}
		least = more.Through
		h.looksUp.Store(true)
	}
	return decider.Receipt{}, errs.New(errs.Unavailable, "%s changes faster than the decision can be looked up for; it is tried again", cmd.EntityID)
}

type eventIDKey struct{}

// EventID returns the id of the event that the lookup of a reaction is for, and "" for the lookup
// of a command; see ReactWith. It is meant for an entity that is to know which event it has
// handled when the event itself has nothing that would tell.
func EventID(ctx context.Context) string {
	id, _ := ctx.Value(eventIDKey{}).(string)
	return id
}

// Then makes a command of two steps: its own event, and the service's reaction to that. The
// reaction is one that the consumer's Reaction lists, too. It is run at once, under the id that
// the consumer's delivery has, so whoever is first records its event and the other finds it.
// The answer and the position are the reaction's. When the command records nothing new, there
// is no second step and the answer is its own.
//
// When the second step fails, the sender gets the error although the first is recorded. The
// reaction then completes it, and the same command sent again gets the answer.
func (h *CommandHandler[S, C]) Then(consumer string, reaction following) *CommandHandler[S, C] {
	h.next = &nextStep{consumer, reaction}
	return h
}

// following is a *ReactionHandler of any types.
type following interface {
	Handler
	follow(ctx context.Context, cmd decider.Command, event eventlog.Record) (decider.Receipt, error)
}

// nextStep is the reaction with which a command goes on.
type nextStep struct {
	consumer string
	reaction following
}

func (n *nextStep) take(ctx context.Context, first decider.Receipt, d *deps) (decider.Receipt, error) {
	if first.Record.Event.EventName() != n.reaction.eventName() {
		return first, nil
	}
	second, err := n.reaction.follow(ctx, d.reactionCommand(n.consumer, first.Record), first.Record)
	if err == nil && second.EntityID == "" {
		return first, nil // the event concerns no entity
	}
	second.Replayed = first.Replayed // the consumer may have been faster than a command that came once
	return second, err
}
