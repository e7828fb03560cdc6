package projection

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"
)

// Run follows the streams until ctx ends, and rebuilds the view when its definition has
// changed, its file is missing, damaged or far behind, or Rebuild is called. It retries what may pass.
// It returns nil when ctx has ended; otherwise it returns why the view has failed, as
// Failed does: a bug in the definition, or ErrLost. Call it once, after Open.
func (v *View) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	var checking sync.WaitGroup
	checking.Go(func() { v.checkPeriodically(ctx) })
	v.wakeEraser() // a crash may have left something to erase
	checking.Go(func() { v.removeErasedContent(ctx) })
	for wait := 50 * time.Millisecond; ctx.Err() == nil; {
		db := v.servingDatabase()
		err := v.follow(ctx, db)
		v.removeRetired()
		if err == nil || ctx.Err() != nil {
			wait = 50 * time.Millisecond
			continue
		}
		if final := v.prepareRetry(ctx, db, err); final {
			v.fail(fmt.Errorf("view %s: %w", v.def.Name, err))
			break
		}
		select {
		case <-ctx.Done():
		case <-time.After(wait):
		}
		wait = min(2*wait, 5*time.Second)
	}
	cancel()
	checking.Wait()
	v.stop()
	return v.Failed()
}

func (v *View) servingDatabase() *database {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.serving
}

// follow feeds the serving database until it is replaced. When it is missing, of an older
// definition or far behind, follow rebuilds it at once.
func (v *View) follow(ctx context.Context, db *database) error {
	if db == nil || !db.current {
		return v.rebuild(ctx, nil)
	}
	if tried, err := v.overtake(ctx, db); tried {
		return err
	}
	active := db.startConsumers(ctx)
	defer active.stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case err := <-active.failed:
			return err
		case <-v.wakeup:
			if v.servingDatabase() != db {
				return nil
			}
			if v.rebuildRequested() {
				return v.rebuild(ctx, active)
			}
		}
	}
}

// prepareRetry prepares the next attempt after an error of follow. It reports true when
// another attempt cannot succeed.
func (v *View) prepareRetry(ctx context.Context, db *database, err error) (final bool) {
	var inDefinition *definitionError
	var inRebuild *rebuildError
	switch {
	case errors.Is(err, ErrLost):
		return true
	case errors.As(err, &inRebuild):
		v.config.Logger.Error("the rebuild of a view has failed", "view", v.def.Name, "reason", err)
		return errors.As(err, &inDefinition) && (db == nil || !db.current)
	case errors.As(err, &inDefinition):
		// Damaged rows can make a projection fail, too.
		damage := quickCheck(ctx, db.path)
		if !isDamaged(damage) {
			return true
		}
		err = errors.Join(err, damage)
	}
	v.retire(db, err)
	return false
}

// removeRetired closes the databases that no longer serve and removes their files.
func (v *View) removeRetired() {
	v.mu.Lock()
	retired, keep := v.retired, ""
	v.retired = nil
	if v.serving != nil {
		keep = v.serving.path
	}
	v.mu.Unlock()
	if len(retired) == 0 {
		return
	}
	for _, db := range retired {
		if err := db.close(); err != nil {
			v.config.Logger.Warn("a view's old file could not be closed", "view", v.def.Name, "reason", err)
		}
	}
	if err := v.dir.clean(keep); err != nil {
		v.config.Logger.Warn("a view's old files could not be removed", "view", v.def.Name, "reason", err)
	}
}
