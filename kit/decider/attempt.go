package decider

import (
	"context"
	"errors"
	"fmt"

	"lonja/kit/errs"
	"lonja/kit/eventlog"
)

// attempt is one call of Decide.
type attempt[S any] struct {
	d       *Decider[S]
	e       *entity[S] // acquired
	command Command
	decide  Decide[S]
	reply   func(S, eventlog.Event) any
	meta    Meta
}

// run decides until an event is recorded or the decision without one is known to rest on
// the newest state.
func (a *attempt[S]) run(ctx context.Context) (Receipt, error) {
	for fresh := false; ; {
		if seq, recorded := a.recorded(); recorded {
			return a.replay(ctx, seq)
		}
		event, err := a.decide(a.e.state, a.meta)
		if err != nil || event == nil {
			// An append proves that the state was fresh. A decision without an event
			// does not, so the log is asked first.
			if !fresh {
				changed, loadErr := a.d.catchUp(ctx, a.e)
				if loadErr != nil {
					return Receipt{}, unavailable(loadErr)
				}
				if fresh = true; changed {
					continue
				}
			}
			if err != nil {
				return Receipt{}, err
			}
			return a.receipt(a.e.sequence, nil, false), nil
		}
		record, err := a.append(ctx, event)
		switch {
		case err == nil:
			a.d.fold(a.e, record)
			return a.receipt(record.Sequence, event, false), nil
		case errors.Is(err, eventlog.ErrConflict), errors.Is(err, eventlog.ErrOutcomeUnknown), errors.Is(err, eventlog.ErrDuplicate):
			// Another decision was faster, or the outcome is unknown. The log has the answer.
			if _, err := a.d.catchUp(ctx, a.e); err != nil {
				return Receipt{}, unavailable(err)
			}
			if _, recorded := a.recorded(); !recorded && errors.Is(err, eventlog.ErrDuplicate) {
				return Receipt{}, IDReused() // for another entity
			}
			fresh = true
		default:
			return Receipt{}, err
		}
		if ctx.Err() != nil {
			return Receipt{}, unavailable(ctx.Err())
		}
	}
}

// recorded returns the sequence of the command's own event, if it is among those that were
// folded.
func (a *attempt[S]) recorded() (seq uint64, ok bool) {
	seq, ok = a.e.commands[keyOf(a.command.ID)]
	return seq, ok
}

func (a *attempt[S]) append(ctx context.Context, event eventlog.Event) (eventlog.Record, error) {
	env := eventlog.Envelope{
		ID:          eventlog.DeriveID("fact", a.command.ID), // as in existing logs
		Source:      a.d.config.Source,
		Time:        a.meta.Now,
		Causation:   a.command.ID,
		Correlation: a.command.Correlation,
		Actor:       eventlog.Actor{ID: a.command.Actor.ID},
		RequestHash: a.command.RequestHash,
		Trace:       a.command.Trace,
	}
	if env.Correlation == "" {
		env.Correlation = a.command.ID
	}
	return a.d.log.Append(ctx, a.d.entityType.Stream, a.e.filter, a.e.sequence, env, event)
}

// replay returns the receipt of the event that the same command has recorded at seq. The
// reply is made from the state at that event, as the first reply was.
func (a *attempt[S]) replay(ctx context.Context, seq uint64) (Receipt, error) {
	record, err := a.d.log.At(ctx, a.d.entityType.Stream, seq)
	if err != nil {
		return Receipt{}, unavailable(err)
	}
	if record.RequestHash != a.command.RequestHash {
		return Receipt{}, IDReused()
	}
	if seq == a.e.sequence || a.reply == nil || a.d.entityType.ReplyFromEvents {
		return a.receipt(seq, record.Event, true), nil
	}
	past := a.d.newEntity(a.e.filter)
	if err = a.d.load(ctx, past, seq); err != nil {
		return Receipt{}, unavailable(err)
	}
	a.e = past
	return a.receipt(seq, record.Event, true), nil
}

func (a *attempt[S]) receipt(seq uint64, event eventlog.Event, replayed bool) Receipt {
	r := Receipt{EntityID: a.meta.EntityID, Stream: a.d.entityType.Stream, Sequence: seq, Replayed: replayed}
	if a.reply != nil {
		r.Reply = a.reply(a.e.state, event)
	}
	return r
}

// unavailable returns err as an errs.Unavailable error, unless it has a code already.
func unavailable(err error) error {
	if _, ok := errs.As(err); ok {
		return err
	}
	return fmt.Errorf("%w: %w", errs.New(errs.Unavailable, "the log did not answer; try again with the same id"), err)
}

// IDReused returns the errs.Invalid error of a command whose id was used for another
// command. Its field is Idempotency-Key, the HTTP header that ids
// are derived from, also when the command came over NATS.
func IDReused() error {
	return errs.InvalidField("Idempotency-Key", "was used before with another request; use a new one")
}
