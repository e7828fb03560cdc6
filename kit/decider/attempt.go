package decider

import (
	"context"
	"errors"
	"fmt"

	"github.com/nats-io/nats.go/jetstream"

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
	older   olderCommand // what was looked up about the command
	gone    bool         // the command's event has reached its age, so it is decided again
}

// run decides until an event is recorded or the decision without one is known to rest on
// the newest state.
func (a *attempt[S]) run(ctx context.Context) (Receipt, error) {
	for fresh := false; ; {
		if seq, recorded, err := a.recorded(); err != nil {
			return Receipt{}, err
		} else if recorded {
			r, err := a.replay(ctx, seq)
			if a.gone = a.e.expires && isGone(err); !a.gone {
				return r, err
			}
		}
		event, err := a.decide(a.e.state, a.meta)
		if errors.As(err, new(*NeedsLookup)) {
			return Receipt{}, err
		}
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
			return a.receipt(eventlog.Record{Sequence: a.e.sequence}, false), nil
		}
		record, err := a.append(ctx, event)
		switch {
		case err == nil:
			a.d.fold(a.e, record)
			return a.receipt(record, false), nil
		case errors.Is(err, eventlog.ErrConflict), errors.Is(err, eventlog.ErrOutcomeUnknown), errors.Is(err, eventlog.ErrDuplicate),
			errors.Is(err, eventlog.ErrKeyDestroyed):
			// Another decision was faster, or the outcome is unknown. The log has the answer.
			changed, loadErr := a.d.catchUp(ctx, a.e)
			if loadErr != nil {
				return Receipt{}, unavailable(loadErr)
			}
			if !changed && errors.Is(err, eventlog.ErrKeyDestroyed) {
				return Receipt{}, err // on the newest state
			}
			if _, recorded, unknown := a.recorded(); unknown == nil && !recorded && errors.Is(err, eventlog.ErrDuplicate) {
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

func (a *attempt[S]) append(ctx context.Context, event eventlog.Event) (eventlog.Record, error) {
	env := eventlog.Envelope{
		ID:          eventlog.EventID(a.command.ID),
		Source:      a.d.config.Source,
		Time:        a.meta.Now,
		Causation:   a.command.ID,
		Correlation: a.command.Correlation,
		Actor:       eventlog.Actor{ID: a.command.Actor.ID},
		RequestHash: a.command.RequestHash,
		Trace:       a.command.Trace,
	}
	var options []eventlog.AppendOption
	if a.command.EntityID != "" && !a.command.SameEntity {
		options = append(options, eventlog.UniqueID(eventlog.LegacyEventID(a.command.ID))) // as earlier versions write it
	}
	return a.d.log.Append(ctx, a.e.stream, a.e.filter, a.e.sequence, env, event, options...)
}

// replay returns the receipt of the event that the same command has recorded at seq. The
// reply is made from the state at that event, as the first reply was. An entity that was
// erased since then gets no reply.
func (a *attempt[S]) replay(ctx context.Context, seq uint64) (Receipt, error) {
	record, err := a.d.log.At(ctx, a.e.stream, seq)
	if err != nil {
		return Receipt{}, unavailable(err)
	}
	if record.RequestHash != a.command.RequestHash {
		return Receipt{}, IDReused()
	}
	if err := cannotFold(record); err != nil {
		return Receipt{}, err
	}
	if a.reply == nil {
		return a.receipt(record, true), nil
	}
	if err := a.checkErased(ctx); err != nil {
		return Receipt{}, err
	}
	if seq == a.e.sequence || a.d.entityType.ReplyFromEvents {
		return a.receipt(record, true), nil
	}
	past := a.d.newEntity(a.e.id, a.e.place)
	if err = a.d.load(ctx, past, seq); err != nil {
		return Receipt{}, unavailable(err)
	}
	a.e = past
	return a.receipt(record, true), nil
}

// checkErased returns errs.NotFound if the entity has been erased, by the newest events.
func (a *attempt[S]) checkErased(ctx context.Context) error {
	erased := a.d.entityType.Erased
	if erased == nil {
		return nil
	}
	if _, err := a.d.catchUp(ctx, a.e); err != nil {
		return unavailable(err)
	}
	if erased(a.e.state) {
		return errs.New(errs.NotFound, "%s was erased", a.meta.EntityID)
	}
	return nil
}

// receipt returns the receipt of a record; without an event, it is that of a decision that
// led to none.
func (a *attempt[S]) receipt(record eventlog.Record, replayed bool) Receipt {
	r := Receipt{EntityID: a.meta.EntityID, Stream: a.e.stream, Sequence: record.Sequence, Record: record, Replayed: replayed}
	if a.reply != nil {
		r.Reply = a.reply(a.e.state, record.Event)
	}
	return r
}

// isGone reports whether a message could not be read because it is not there any more.
func isGone(err error) bool {
	return errors.Is(err, eventlog.ErrGone) || errors.Is(err, jetstream.ErrMsgNotFound)
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
