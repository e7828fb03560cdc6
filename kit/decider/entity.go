package decider

import (
	"context"
	"errors"

	"lonja/kit/errs"
	"lonja/kit/eventlog"
)

// entity is an entity up to the last of its events that this process has folded.
type entity[S any] struct {
	lock     chan struct{} // holds a token while it is free; a channel, so that waiting ends with the context
	filter   string
	state    S
	sequence uint64                // of the last folded event, 0 for none
	commands map[commandKey]uint64 // the sequence of each command's event
}

// commandKey is a command's id in few bytes, since all of an entity's are in memory.
type commandKey [16]byte

func keyOf(id string) (k commandKey) {
	copy(k[:], eventlog.CompactID(id))
	return k
}

// acquire waits until no other decision on the entity is made. Release ends the turn.
func (d *Decider[S]) acquire(ctx context.Context, id string) (e *entity[S], release func(), err error) {
	e = d.cached(id)
	select {
	case <-e.lock:
		return e, func() { e.lock <- struct{}{} }, nil
	case <-ctx.Done():
		return nil, nil, ctx.Err()
	}
}

// cached returns the entity from the cache, and adds it there if it is missing.
func (d *Decider[S]) cached(id string) *entity[S] {
	d.mu.Lock()
	defer d.mu.Unlock()
	if e, ok := d.cache.Get(id); ok {
		return e
	}
	e := d.newEntity(d.entityType.Filter(id))
	e.lock <- struct{}{}
	d.cache.Add(id, e)
	return e
}

// newEntity returns an entity without any event. Its lock is taken.
func (d *Decider[S]) newEntity(filter string) *entity[S] {
	e := &entity[S]{lock: make(chan struct{}, 1), filter: filter, commands: make(map[commandKey]uint64, 1)}
	if d.entityType.New != nil {
		e.state = d.entityType.New()
	}
	return e
}

// catchUp folds the events that were recorded since. Changed reports whether there were any.
func (d *Decider[S]) catchUp(ctx context.Context, e *entity[S]) (changed bool, err error) {
	last, err := d.log.Last(ctx, d.entityType.Stream, e.filter)
	if err != nil {
		return false, err
	}
	if last <= e.sequence {
		return false, d.log.CheckLeader(ctx, d.entityType.Stream)
	}
	return true, d.load(ctx, e, last)
}

// load folds the entity's further events up to the sequence through. The error is
// errs.Unavailable if one of them has a type that only a newer program knows. Then the
// entity is folded up to the event before it, and nothing can be decided on it here.
func (d *Decider[S]) load(ctx context.Context, e *entity[S], through uint64) error {
	var unknown error
	err := d.log.Load(ctx, d.entityType.Stream, e.filter, e.sequence, through, func(r eventlog.Record) {
		if r.UnknownType && unknown == nil {
			unknown = errs.New(errs.Unavailable, "%s:%d records %s, which this program does not know; a newer one must decide", r.Stream, r.Sequence, r.Type)
		}
		if unknown == nil {
			d.fold(e, r)
		}
	})
	return errors.Join(err, unknown)
}

func (d *Decider[S]) fold(e *entity[S], r eventlog.Record) {
	e.sequence = r.Sequence
	if r.Event == nil {
		return // not an event; views send it to the dead letters
	}
	e.state = d.entityType.EvolveRecord(e.state, r)
	e.commands[keyOf(r.Causation)] = r.Sequence
}
