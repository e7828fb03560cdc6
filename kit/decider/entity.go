package decider

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"

	"lonja/kit/errs"
	"lonja/kit/eventlog"
)

// entity is an entity up to the last of its events that this process has folded.
type entity[S any] struct {
	place
	lock     chan struct{} // holds a token while it is free; a channel, so that waiting ends with the context
	id       string
	state    S
	sequence uint64 // of the last folded event, 0 for none
	eventID  string // its id, "" if it was not an event
	commands window
	pasts    pasts

	reading  reading     // how far the events are read that are not folded yet
	located  bool        // place takes partitions into account
	restored bool        // its snapshot was looked for
	unsaved  int         // events since its last snapshot
	saving   atomic.Bool // a snapshot of it is being written

	bytes   int  // that it is counted with; used inside Decider.mu, as evicted is
	evicted bool // it is no longer in the cache
}

// acquire waits until no other decision on the entity is made. Release ends the turn. The
// entity is folded up to its snapshot at least, if there is one.
func (d *Decider[S]) acquire(ctx context.Context, id string) (e *entity[S], release func(), err error) {
	e = d.cached(id)
	select {
	case <-e.lock:
	case <-ctx.Done():
		return nil, nil, e.reading.explain(ctx, id, ctx.Err())
	}
	if !e.located {
		if e.place, err = d.locate(ctx, id); err != nil {
			e.lock <- struct{}{}
			return nil, nil, unavailable(err)
		}
		e.located = true
	}
	if err := d.restore(ctx, e); err != nil {
		e.lock <- struct{}{}
		return nil, nil, unavailable(err)
	}
	return e, func() { d.release(e) }, nil
}

func (d *Decider[S]) release(e *entity[S]) {
	d.saveIfDue(e)
	d.account(e)
	e.lock <- struct{}{}
}

// cached returns the entity from the cache, and adds it there if it is missing.
func (d *Decider[S]) cached(id string) *entity[S] {
	d.mu.Lock()
	defer d.mu.Unlock()
	if e, ok := d.cache.Get(id); ok {
		return e
	}
	e := d.newEntity(id, d.entityType.placeOf(id))
	e.lock <- struct{}{}
	d.cache.Add(id, e)
	return e
}

// entityBytes is what an entity takes in memory besides its commands, roughly.
const entityBytes = 1 << 10

// account counts the memory of an entity, and frees that of others if it is too much.
func (d *Decider[S]) account(e *entity[S]) {
	bytes := entityBytes + e.commands.bytes()
	d.mu.Lock()
	defer d.mu.Unlock()
	if e.evicted {
		return
	}
	d.bytes += bytes - e.bytes
	for e.bytes = bytes; d.bytes > d.config.CacheBytes && d.cache.Len() > 1; {
		d.cache.RemoveOldest()
	}
}

// onEvict is called inside mu, by the cache.
func (d *Decider[S]) onEvict(_ string, e *entity[S]) {
	d.bytes -= e.bytes
	e.evicted = true
}

// newEntity returns an entity without any event. Its lock is taken.
func (d *Decider[S]) newEntity(id string, at place) *entity[S] {
	e := &entity[S]{lock: make(chan struct{}, 1), id: id, place: at}
	d.clear(e)
	return e
}

// clear makes an entity one without any event.
func (d *Decider[S]) clear(e *entity[S]) {
	var none S
	if d.entityType.New != nil {
		none = d.entityType.New()
	}
	e.state, e.sequence, e.eventID = none, 0, ""
	e.commands, e.pasts, e.unsaved = window{size: d.config.CommandWindow}, pasts{}, 0
}

// catchUp folds the events that were recorded since, or clears an entity whose events have all
// reached their age. Changed reports whether it did either. The error is ErrReading if ctx ends while
// the entity is being read.
func (d *Decider[S]) catchUp(ctx context.Context, e *entity[S]) (changed bool, err error) {
	defer func() { err = e.reading.explain(ctx, e.id, err) }()
	for {
		last, err := d.log.Last(ctx, e.stream, e.filter)
		if err != nil {
			return false, err
		}
		if last <= e.sequence {
			err := d.log.CheckLeader(ctx, e.stream)
			if changed = err == nil && e.expires && last == 0 && e.sequence > 0; changed {
				d.clear(e)
			}
			return changed, err
		}
		err = e.reading.track(ctx, d.config.Logger, e.filter, func(count func()) error {
			return d.walk(ctx, e.place, e.sequence, last, func(r eventlog.Record) {
				d.fold(e, r)
				count()
			})
		})
		if !e.expires || !errors.Is(err, eventlog.ErrGone) {
			return true, err
		}
	}
}

// load folds the entity's further events up to the sequence through. Errors are those of
// walk. Then the entity is folded up to the event before, and nothing can be decided on it
// here.
func (d *Decider[S]) load(ctx context.Context, e *entity[S], through uint64) error {
	return d.walk(ctx, e.place, e.sequence, through, func(r eventlog.Record) { d.fold(e, r) })
}

// walk calls visit for every message of an entity above after, up to the sequence through. The
// error is errs.Unavailable if one of them has a type that only a newer program knows, or a
// key that cannot be had now. Then visit was called for those before it.
func (d *Decider[S]) walk(ctx context.Context, at place, after, through uint64, visit func(eventlog.Record)) error {
	var stopped error
	err := d.log.Load(ctx, at.stream, at.filter, after, through, func(r eventlog.Record) {
		if stopped == nil {
			stopped = cannotFold(r)
		}
		if stopped == nil {
			visit(r)
		}
	})
	return errors.Join(err, stopped)
}

// cannotFold returns why an event cannot be folded here or now, nil if it can be.
func cannotFold(r eventlog.Record) error {
	switch {
	case r.UnknownType:
		return errs.New(errs.Unavailable, "%s:%d records %s, which this program does not know; a newer one must decide", r.Stream, r.Sequence, r.Type)
	case r.Unavailable:
		return fmt.Errorf("%w: %w", errs.New(errs.Unavailable, "%s:%d cannot be opened now; try again with the same id", r.Stream, r.Sequence), r.Err)
	}
	return nil
}

func (d *Decider[S]) fold(e *entity[S], r eventlog.Record) {
	e.sequence, e.eventID = r.Sequence, r.ID
	if r.Event == nil {
		return // not an event; views send it to the dead letters
	}
	e.state = d.entityType.EvolveRecord(e.state, r)
	e.commands.add(commandEvent{keyOf(r.Causation), r.Sequence})
	e.unsaved++
}
