package projection

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"
)

// checkPeriodically checks the serving database until ctx ends. The first check comes a while
// after the start, when there is enough to do.
func (v *View) checkPeriodically(ctx context.Context) {
	tick := time.NewTicker(v.config.CheckInterval)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
		if db, err := v.acquire(); err == nil {
			v.check(ctx, db)
			v.dropOutdated(db)
			db.queries.Done()
		}
	}
}

// contentChecks lets one view of the process at a time read the whole of its file.
var contentChecks sync.Mutex

// check detects that a file was deleted, replaced or damaged, and has the view rebuilt. A
// file that was deleted or replaced is still open and undamaged, so it keeps serving until
// the rebuild ends. A damaged one stops serving at once.
func (v *View) check(ctx context.Context, db *database) {
	// The content is checked only while the path still leads to the open file. SQLite
	// would read another file in its place together with this one's -wal, find it damaged,
	// and hold its locks.
	stat, err := os.Stat(db.path)
	if !db.checked && err == nil && os.SameFile(stat, db.stat) && contentChecks.TryLock() {
		damage := quickCheck(ctx, db.path)
		contentChecks.Unlock()
		if isDamaged(damage) {
			v.retire(db, damage)
			return
		}
		db.checked = ctx.Err() == nil
	}
	switch {
	case errors.Is(err, os.ErrNotExist), err == nil && !os.SameFile(stat, db.stat):
		v.config.Logger.Error("a view's file was deleted or replaced; the view is being rebuilt", "view", v.def.Name, "file", db.path)
		v.requestRebuild()
	case err == nil && stat.Size() < db.stat.Size():
		v.retire(db, fmt.Errorf("%w: it was truncated to %d bytes", errDamaged, stat.Size()))
	case err == nil:
		db.stat = stat
		if err := db.truncateWAL(); isDamaged(err) {
			v.retire(db, err)
		}
	}
}
