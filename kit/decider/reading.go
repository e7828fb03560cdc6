package decider

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"lonja/kit/errs"
)

// ErrReading reports that an entity with very many events is still being read from the log. What
// was read is kept, so each call with the same id gets further, and there is nothing to mend. The
// error has the code errs.Unavailable, too.
var ErrReading = errors.New("the entity is being read from the log")

// reading is how far the events of an entity are read whose reading takes longer than the
// context of one decision. Only the reader, of which there is one at a time, changes it; others ask meanwhile.
type reading struct {
	since  atomic.Pointer[time.Time] // when the first context ended; nil while the entity is folded in time
	events atomic.Uint64             // that were read since the entity was last folded to the end
}

// explain returns the error of a decision on the entity with an id. That is ErrReading if its
// context has ended while the entity is being read, and otherwise err.
func (r *reading) explain(ctx context.Context, id string, err error) error {
	if err == nil || ctx.Err() == nil || r.since.Load() == nil {
		return err
	}
	return fmt.Errorf("%w: %w (%w)", errs.New(errs.Unavailable, "%s is being read from the log, %d events so far; try again with the same id",
		id, r.events.Load()), ErrReading, err)
}

// track calls read, which calls count for each event that it reads. It notes and logs the first time
// that ctx ends although the log has answered, and that all was read in the end.
func (r *reading) track(ctx context.Context, log *slog.Logger, entity string, read func(count func()) error) error {
	before, since := r.events.Load(), r.since.Load()
	err := read(func() { r.events.Add(1) })
	events := r.events.Load()
	if err == nil {
		r.events.Store(0)
		if r.since.Store(nil); since != nil {
			log.Info("an entity was read from the log", "entity", entity, "events", events, "took", time.Since(*since).Round(time.Millisecond))
		}
		return nil
	}
	var coded *errs.Error
	if ctx.Err() != nil && since == nil && events > before && !errors.As(err, &coded) {
		now := time.Now()
		r.since.Store(&now)
		log.Warn("an entity is being read from the log, and decisions on it wait", "entity", entity, "events", events)
	}
	return err
}
