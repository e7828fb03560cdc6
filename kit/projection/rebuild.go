package projection

import (
	"context"
	"errors"
	"time"

	"lonja/kit/errs"
)

// BuildStats describes a completed rebuild.
type BuildStats struct {
	Events   uint64 // in the rows, skipped messages included
	Duration time.Duration
	Bytes    int64 // size of the new file
}

// rebuildRequest is a rebuild that is wanted or running, with any number of waiters.
type rebuildRequest struct {
	done chan struct{}
	err  error // valid once done is closed
}

// rebuildError is the error of a rebuild that did not finish. The serving database is
// unharmed.
type rebuildError struct{ error }

func (e *rebuildError) Unwrap() error { return e.error }

// Rebuild builds the rows again from the first event while Run follows the streams, and
// returns once the new rows answer queries. The old rows answer until then. When a rebuild
// is already wanted or running, Rebuild waits for that one. When ctx ends first, Rebuild
// returns ctx's error and the rebuild continues. The error has the code errs.Unavailable when
// Run has returned; any other error is why the rebuild failed, and the old rows stay.
func (v *View) Rebuild(ctx context.Context) error {
	r := v.requestRebuild()
	if r == nil {
		return errs.New(errs.Unavailable, "view %s has stopped", v.def.Name)
	}
	select {
	case <-r.done:
		return r.err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Building returns the number of events in the rows that are being built. running is false
// when no rebuild is wanted or running.
func (v *View) Building() (events uint64, running bool) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.building == nil {
		return 0, v.request != nil
	}
	return v.building.events.Load(), true
}

// LastBuild describes the last rebuild since New that completed; it is zero when there was none.
func (v *View) LastBuild() BuildStats {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.lastBuild
}

// requestRebuild asks Run for a rebuild unless one is already wanted or running. It
// returns nil when the view has stopped.
func (v *View) requestRebuild() *rebuildRequest {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.request == nil && !v.stopped {
		v.request = &rebuildRequest{done: make(chan struct{})}
		v.wakeRun()
	}
	return v.request
}

func (v *View) rebuildRequested() bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.request != nil
}

// endRebuild gives the result of a rebuild to those who wait for it.
func (v *View) endRebuild(err error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.building = nil
	if v.request != nil {
		v.request.err = err
		close(v.request.done)
		v.request = nil
	}
}

// stop refuses further rebuilds and ends the waits for one.
func (v *View) stop() {
	v.mu.Lock()
	v.stopped = true
	v.mu.Unlock()
	v.endRebuild(errs.New(errs.Unavailable, "view %s has stopped", v.def.Name))
}

// rebuild builds a database from the first event beside the serving one and swaps it in.
// active feeds the serving database; it is nil when nothing does.
func (v *View) rebuild(ctx context.Context, active *consumption) (err error) {
	v.requestRebuild()
	began, next := time.Now(), v.nextDatabase()
	defer func() {
		if err != nil {
			err = &rebuildError{errors.Join(err, next.close(), removeDatabase(next.path))}
		}
		v.endRebuild(err)
	}()
	v.config.Logger.Info("the rebuild of a view has begun", "view", v.def.Name, "file", next.path)
	if err := next.create(); err != nil {
		return err
	}
	v.mu.Lock()
	v.building = next
	v.mu.Unlock()
	if err := v.catchUp(ctx, next, active); err != nil {
		return err
	}
	opened, err := v.finishAndOpen(ctx, next)
	if err != nil {
		return err
	}
	v.swap(opened, BuildStats{Events: next.events.Load(), Duration: time.Since(began), Bytes: opened.stat.Size()})
	return nil
}

// catchUp fills a new database until it holds at least what the serving one holds. It stops
// active on the way, so that the serving one gets no further.
func (v *View) catchUp(ctx context.Context, next *database, active *consumption) error {
	old := v.servingDatabase()
	if active != nil {
		old = active.db
	}
	if old != nil && !old.current {
		old = nil // it may read other streams
	}
	if old != nil {
		for i, c := range old.consumers {
			next.consumers[i].deadLetteredTo = c.position.Load()
		}
	}
	filling := next.startConsumers(ctx)
	defer filling.stop()
	for _, c := range next.consumers {
		if err := filling.wait(ctx, c.caughtUp); err != nil {
			return err
		}
	}
	if err := next.flush(); err != nil {
		return err
	}
	if err := syncPath(next.path); err != nil { // most of it, while the serving database still follows
		return err
	}
	if active != nil {
		active.stop()
		for i, c := range old.consumers {
			if err := v.awaitPosition(ctx, filling, next.consumers[i], c.sequence); err != nil {
				return err
			}
		}
	}
	if old != nil {
		for i, c := range old.consumers {
			next.consumers[i].advance(c.position.Load())
		}
	}
	filling.stop()
	return ctx.Err()
}

// awaitPosition waits until a consumer has brought a database to a sequence.
func (v *View) awaitPosition(ctx context.Context, filling *consumption, c *consumer, seq uint64) error {
	for {
		changed := v.Changed()
		if c.position.Load() >= seq {
			return nil
		}
		if err := filling.wait(ctx, changed); err != nil {
			return err
		}
	}
}

// finishAndOpen finishes a database that was built and opens it for queries. It creates the
// durable consumers at the checkpoint right away. A failure to do so is only logged, since
// Run creates them again.
func (v *View) finishAndOpen(ctx context.Context, built *database) (*database, error) {
	if err := built.finish(); err != nil {
		return nil, err
	}
	db := v.database(built.dbFile)
	if err := openDatabase(ctx, db); err != nil {
		return nil, err
	}
	for i, c := range db.consumers {
		c.advance(built.consumers[i].position.Load())
		if _, err := c.ensure(ctx, false); err != nil && ctx.Err() == nil {
			v.config.Logger.Warn("a view's consumer could not be created yet", "view", v.def.Name, "stream", c.source.Stream, "reason", err)
		}
	}
	db.checked, db.measured = true, true
	return db, nil
}

// swap makes a database the serving one and retires the one before.
func (v *View) swap(db *database, stats BuildStats) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.serving != nil {
		v.retired = append(v.retired, v.serving)
	}
	v.serving, v.building, v.lastBuild = db, nil, stats
	v.signalAll()
	v.config.Logger.Info("a view was rebuilt", "view", v.def.Name, "events", stats.Events, "took", stats.Duration.Round(time.Millisecond), "bytes", stats.Bytes)
}

// nextDatabase returns the database to build next. Its number has not been used before.
func (v *View) nextDatabase() *database {
	if _, last, err := v.dir.list(); err == nil {
		v.number = max(v.number, last)
	}
	v.number++
	hash := v.def.hash()
	return v.database(dbFile{v.dir.path(v.def.Name, hash, v.number), hash, v.number})
}

func (v *View) database(file dbFile) *database {
	return &database{dbFile: file, def: &v.def, config: &v.config, current: file.hash == v.def.hash(), onCommit: v.notify, onErase: v.wakeEraser, awaited: v.watched}
}
