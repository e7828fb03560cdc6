package decider

import (
	"context"
	"log/slog"

	"lonja/kit/eventlog"
)

// Past finds the older events of one entity by a key, in the log itself. It answers what rows
// would answer that are missing or too old: what they do not cover is read once from the log, and
// where each key's last event is stays in memory until Forget. It is safe for concurrent use; its
// callers wait for each other.
type Past struct {
	id     string                                // the entity's
	last   func(context.Context) (uint64, error) // the entity's last event
	walk   func(ctx context.Context, after, through uint64, visit func(eventlog.Record)) error
	key    func(eventlog.Record) string
	logger func() *slog.Logger

	expires       bool          // events that are not there have reached their age
	lock          chan struct{} // holds a token while it is free
	from, through uint64        // what comes after from was read up to through
	found         map[commandKey]uint64
	reading       reading
}

// Past returns the past of the entity with an id. Key returns an event's key, "" for none.
func (d *Decider[S]) Past(id string, key func(eventlog.Record) string) *Past {
	var at place // found by last, which comes first
	p := &Past{id: id, key: key, logger: func() *slog.Logger { return d.config.Logger }, lock: make(chan struct{}, 1), expires: d.entityType.placeOf(id).expires,
		last: func(ctx context.Context) (last uint64, err error) {
			if at, err = d.locate(ctx, id); err == nil {
				last, err = d.log.Last(ctx, at.stream, at.filter)
			}
			return last, err
		},
		walk: func(ctx context.Context, after, through uint64, visit func(eventlog.Record)) error {
			return d.walk(ctx, at, after, through, visit)
		}}
	p.lock <- struct{}{}
	return p
}

// Find returns the sequence of the last event about a key after the sequence after, up to
// through, which is at least the sequence least; 0 if there is none. Least must be that of an event
// of the entity.
//
// The error is errs.Unavailable, or that of ctx, if the log cannot be read to the end in time.
// What was read is kept, so that the next call goes on there; the error is ErrReading, too, then.
func (p *Past) Find(ctx context.Context, key string, after, least uint64) (event, through uint64, err error) {
	select {
	case <-p.lock:
		defer func() { p.lock <- struct{}{} }()
	case <-ctx.Done():
		return 0, 0, p.reading.explain(ctx, p.id, ctx.Err())
	}
	if p.found == nil || after < p.from || after > p.through { // other rows, or none yet
		p.found, p.from, p.through = map[commandKey]uint64{}, after, after
	}
	if p.through < least {
		if err := p.read(ctx); err != nil {
			return 0, 0, unavailable(p.reading.explain(ctx, p.id, err))
		}
		if p.expires {
			p.through = max(p.through, least)
		}
	}
	if seq := p.found[keyOf(key)]; seq > after {
		event = seq
	}
	return event, p.through, nil
}

// read reads up to the entity's last event, so that the next calls need not read at once again.
func (p *Past) read(ctx context.Context) error {
	end, err := p.last(ctx)
	if err != nil {
		return err
	}
	return p.reading.track(ctx, p.logger(), p.id, func(count func()) error {
		return p.walk(ctx, p.through, end, func(r eventlog.Record) {
			count()
			if p.through = r.Sequence; r.Event == nil {
				return
			}
			if key := p.key(r); key != "" {
				p.found[keyOf(key)] = r.Sequence
			}
		})
	})
}

// Active reports whether something is in memory. False may be late.
func (p *Past) Active() bool {
	select {
	case <-p.lock:
		defer func() { p.lock <- struct{}{} }()
		return p.found != nil
	default:
		return true // somebody uses it
	}
}

// Forget frees the memory once rows include the events up to the sequence through, if that is all
// that it would tell. It does nothing while somebody uses it.
func (p *Past) Forget(through uint64) {
	select {
	case <-p.lock:
		if through >= p.through {
			p.found = nil
		}
		p.lock <- struct{}{}
	default:
	}
}
