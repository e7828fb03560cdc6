package projection

import (
	"context"
	"fmt"
	"time"

	"lonja/kit/errs"
	"lonja/kit/eventlog"
)

// Changed returns a channel that is closed when the view next commits. Call it before
// reading the rows, so that no commit is missed in between. The channel can also be closed
// spuriously, so callers must check again and call Changed again.
func (v *View) Changed() <-chan struct{} {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.changed
}

// watch is a key that has watchers.
type watch struct {
	changed  chan struct{}
	watchers int
}

// Watch returns a channel that is closed when the view next commits a change to the key, as
// its projection reports it with Tx.MarkChanged. Like Changed, call it before reading the
// rows; the channel can be closed spuriously. The caller must call release once, when it no
// longer needs the channel.
func (v *View) Watch(key string) (changed <-chan struct{}, release func()) {
	v.mu.Lock()
	defer v.mu.Unlock()
	w, ok := v.watches[key]
	if !ok {
		w = &watch{changed: make(chan struct{})}
		v.watches[key] = w
	}
	w.watchers++
	if v.watchers.Add(1) == 1 && v.serving != nil {
		v.serving.hurry(nil)
	}
	return w.changed, func() {
		v.mu.Lock()
		defer v.mu.Unlock()
		v.watchers.Add(-1)
		if w.watchers--; w.watchers == 0 && v.watches[key] == w {
			delete(v.watches, key)
		}
	}
}

// notify signals a commit to all who wait for the view and to the watchers of the changed
// keys, and reports these keys to Config.OnChange.
func (v *View) notify(changes []KeyChange) {
	v.mu.Lock()
	v.signal()
	for _, c := range changes {
		if w, ok := v.watches[c.Key]; ok {
			close(w.changed)
			delete(v.watches, c.Key)
		}
	}
	v.mu.Unlock()
	if v.config.OnChange != nil && len(changes) > 0 {
		v.config.OnChange(changes)
	}
}

// signal wakes all who wait for the view. The caller holds mu.
func (v *View) signal() {
	close(v.changed)
	v.changed = make(chan struct{})
}

// signalAll wakes all who wait for the view or watch a key, since the rows were replaced or
// will not change any more. The caller holds mu.
func (v *View) signalAll() {
	v.signal()
	for _, w := range v.watches {
		close(w.changed)
	}
	clear(v.watches)
}

// Await waits until the view can be queried and its rows include every event that the token
// asks for, among those that the view reads. A nil token waits only until the view can be
// queried. The error has the code errs.Unavailable when ctx ends first or the view has failed.
// It has the code errs.Invalid when the token names a sequence that the stream's leader does not
// hold: no reader can have seen such an event, so Await does not wait for it.
func (v *View) Await(ctx context.Context, token Token) error {
	began, interval := time.Now(), minEndInterval
	refresh := time.NewTimer(interval)
	defer refresh.Stop()
	for {
		v.mu.Lock()
		db, changed, failed := v.serving, v.changed, v.failed
		v.mu.Unlock()
		var lagging *consumer
		if db != nil {
			if lagging = db.lagging(token); lagging == nil {
				return nil
			}
			db.hurry(token)
		}
		if failed != nil {
			return v.notCaughtUp(lagging)
		}
		if lagging != nil && lagging.isPastEnd(token[lagging.source.Stream], began) {
			return errs.InvalidField(eventlog.HeaderAfter, "names %s:%d, which is not recorded; send the request without it",
				lagging.source.Stream, token[lagging.source.Stream])
		}
		select {
		case <-changed:
		case <-refresh.C:
			if lagging != nil {
				lagging.refreshEnd(ctx)
			}
			interval = min(2*interval, maxEndInterval)
			refresh.Reset(interval)
		case <-ctx.Done():
			return v.notCaughtUp(lagging)
		}
	}
}

// Last returns the place of an entity's last event, as its stream's leader knows it; the
// sequence is 0 when there is none. Filter is that of the entity's events, "events.order.ord_1.>", on a
// stream or on its partitions. The error has the code errs.Unavailable when the leader does not
// answer. Last does not read the view.
func (v *View) Last(ctx context.Context, stream, filter string) (eventlog.Place, error) {
	home, there, err := v.config.Log.Home(ctx, stream, filter)
	if err != nil {
		return eventlog.Place{}, streamError(stream, err)
	}
	last, err := v.config.Log.Last(ctx, home, there)
	return eventlog.Place{Stream: home, Sequence: last}, streamError(home, err)
}

// Place returns where the event with a number is, which the rows hold: see eventlog.Record.Number.
// Stream is one of the definition's.
func (v *View) Place(stream string, number uint64) eventlog.Place {
	home, sequence := v.config.Log.Layout.Place(stream, number)
	return eventlog.Place{Stream: home, Sequence: sequence}
}

// streamError gives an error of a request to a stream the code errs.Unavailable, unless it has a
// code or is nil.
func streamError(stream string, err error) error {
	if _, coded := errs.As(err); err == nil || coded {
		return err
	}
	return fmt.Errorf("%w: %w", errs.New(errs.Unavailable, "stream %s did not answer; try again", stream), err)
}

// CatchUp waits until the rows include every event that was recorded before the call. Use
// it before an answer that depends on a row being absent: a row that is still absent
// afterwards did not exist when CatchUp was called. Errors are those of Await, and
// errs.Unavailable when a stream does not answer.
func (v *View) CatchUp(ctx context.Context) error {
	now := Token{}
	for _, src := range v.def.sources() {
		end, err := v.config.Log.End(ctx, src.Stream)
		if err != nil {
			return streamError(src.Stream, err)
		}
		now.Add(src.Stream, end)
	}
	return v.Await(ctx, now)
}

// notCaughtUp returns the error of a wait that ended too early. lagging is nil when there
// is nothing to query.
func (v *View) notCaughtUp(lagging *consumer) error {
	if lagging == nil {
		return v.unavailable()
	}
	return errs.New(errs.Unavailable, "view %s has not yet caught up with %s; try again", v.def.Name, lagging.source.Stream)
}

// Covers reports whether Await would return nil at once.
func (v *View) Covers(token Token) bool {
	v.mu.Lock()
	db := v.serving
	v.mu.Unlock()
	return db != nil && db.lagging(token) == nil
}

// Position returns the sequence that the rows have reached on each stream, as a token. A
// reader that passes it to another replica sees rows there that are at least as new. The
// token is empty, not nil, when the view cannot be queried.
func (v *View) Position() Token {
	v.mu.Lock()
	db := v.serving
	v.mu.Unlock()
	t := Token{}
	if db != nil {
		for _, c := range db.consumers {
			if seq := c.position.Load(); seq > 0 {
				t.Add(c.source.Stream, seq)
			}
		}
	}
	return t
}

// Queryable reports whether the view has rows to answer queries from, be they of an older
// definition.
func (v *View) Queryable() bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.serving != nil
}

// Lag returns, for each stream, an upper bound of the number of events that are not yet in
// the rows. While rows that are missing, of an older definition or far behind are being built,
// the bound is that of the new rows. The error has the code errs.Unavailable when there are none at
// all; other errors come from NATS.
func (v *View) Lag(ctx context.Context) (map[string]uint64, error) {
	db := v.current()
	if db == nil {
		return nil, v.unavailable()
	}
	lag := make(map[string]uint64, len(db.consumers))
	for _, c := range db.consumers {
		n, err := c.lag(ctx)
		if err != nil {
			return nil, err
		}
		lag[c.source.Stream] = n
	}
	return lag, nil
}

// current returns the database that follows the streams, or is to: the one that is being
// built when none serves that is fed. It is nil when there is none.
func (v *View) current() *database {
	v.mu.Lock()
	defer v.mu.Unlock()
	if (v.serving == nil || !v.serving.current || v.farBehind) && v.building != nil {
		return v.building
	}
	return v.serving
}

// watched reports whether a key has watchers.
func (v *View) watched() bool { return v.watchers.Load() > 0 }
