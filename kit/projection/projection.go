package projection

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"lonja/kit/errs"
	"lonja/kit/natsauth"
)

// View is a read model that follows its streams. Create it with New, then call Open, Run
// and Close once each. Its other methods are safe for concurrent use after Open.
type View struct {
	def    Definition
	config Config
	dir    dbDir
	number int           // of the newest database; used by Open and Run only
	wakeup chan struct{} // tells Run to check what there is to do
	erased chan struct{} // the same for what was erased; see removeErasedContent

	watchers atomic.Int64 // of all keys

	mu        sync.Mutex
	serving   *database         // answers the queries; nil while there is none
	retired   []*database       // no longer serving, but still open
	building  *database         // nil while no rebuild runs
	farBehind bool              // it replaces rows that are far behind; see overtake
	request   *rebuildRequest   // nil when no rebuild is wanted or running
	changed   chan struct{}     // closed and replaced when the rows change
	watches   map[string]*watch // the same for single keys that have watchers
	failed    error             // why the view stopped, if it did
	stopped   bool              // Run has returned, or is about to
	lastBuild BuildStats
}

// New creates a view. It panics when the definition lacks a required field.
func New(def Definition) *View {
	if def.Name == "" || def.Schema == "" || def.Project == nil || len(def.Reads) == 0 {
		panic("projection: a Definition needs Name, Schema, Reads and Project")
	}
	return &View{def: def, changed: make(chan struct{}), watches: map[string]*watch{}, wakeup: make(chan struct{}, 1), erased: make(chan struct{}, 1)}
}

// Name returns the definition's name.
func (v *View) Name() string { return v.def.Name }

// Sources returns the streams that the view is built from, without their partitions. Callers must
// not change them.
func (v *View) Sources() []Source { return v.def.Reads }

// Permissions returns what the view must be allowed to do on NATS: read its streams and
// manage consumers of its own. The function shared returns the names of a stream's
// consumers that several replicas share; the view may not touch those.
func (v *View) Permissions(shared func(stream string) []string) natsauth.Permissions {
	var p natsauth.Permissions
	for _, src := range v.def.Reads {
		p.Add(natsauth.AllowRead(src.Stream), natsauth.AllowOwnConsumers(src.Stream, shared(src.Stream)))
		if v.def.Introduces != "" {
			p.Add(natsauth.AllowConsumerNames(src.Stream))
		}
	}
	return p
}

// Open opens the newest undamaged database of the view and verifies that the streams still
// hold the events at its checkpoint. It removes the view's other files. Call it once.
//
// The view can be queried after Open when there is a database, even one of an older
// definition, or when the streams are empty. Otherwise Run builds one first. The error
// wraps ErrLost when a stream no longer holds what the rows were built from; any other
// error, such as a stream without a leader, may pass.
func (v *View) Open(ctx context.Context, config Config) error {
	v.config = config
	v.def.spread(config.Log.Layout)
	if v.config.CheckInterval == 0 {
		v.config.CheckInterval = 5 * time.Second
	}
	if v.config.QueryTime == 0 {
		v.config.QueryTime = 5 * time.Second
	}
	v.dir = newDBDir(config.Dir, v.def.Name)
	if err := os.MkdirAll(config.Dir, 0o750); err != nil {
		return err
	}
	db, err := v.openNewest(ctx)
	if err == nil && db == nil {
		db, err = v.createEmpty(ctx)
	}
	if err != nil {
		return fmt.Errorf("open view %s: %w", v.def.Name, err)
	}
	keep := ""
	if v.serving = db; db != nil {
		keep = db.path
	}
	if err := v.dir.clean(keep); err != nil {
		return fmt.Errorf("open view %s: %w", v.def.Name, err)
	}
	return nil
}

// openNewest opens the newest undamaged database, preferring those of the current
// definition. It returns nil when there is none.
func (v *View) openNewest(ctx context.Context) (*database, error) {
	files, last, err := v.dir.list()
	if v.number = last; err != nil {
		return nil, err
	}
	for _, current := range []bool{true, false} {
		for _, file := range files {
			db := v.database(file)
			if db.current != current {
				continue
			}
			err := openDatabase(ctx, db)
			if err == nil {
				return db, nil
			}
			if !isDamaged(err) {
				return nil, err
			}
			v.config.Logger.Warn("a view's file is damaged; the view will be rebuilt", "view", v.def.Name, "reason", err)
		}
	}
	return nil, nil
}

// createEmpty creates a database without rows when all streams are empty. It returns nil
// when they are not.
func (v *View) createEmpty(ctx context.Context) (*database, error) {
	for _, src := range v.def.sources() {
		stream, err := v.config.JetStream.Stream(ctx, src.Stream)
		if err != nil {
			return nil, fmt.Errorf("stream %s: %w", src.Stream, err)
		}
		if info := stream.CachedInfo(); info.State.LastSeq >= max(info.Config.FirstSeq, 1) {
			return nil, nil
		}
	}
	db := v.nextDatabase()
	if err := db.create(); err != nil {
		return nil, err
	}
	return v.finishAndOpen(ctx, db)
}

// Close closes the database, once the queries in progress have ended. Later queries fail.
// Call it after Run has returned.
func (v *View) Close() error {
	v.mu.Lock()
	if v.serving != nil {
		v.retired = append(v.retired, v.serving)
	}
	retired := v.retired
	v.serving, v.retired = nil, nil
	v.mu.Unlock()
	var failed []error
	for _, db := range retired {
		failed = append(failed, db.close())
	}
	return errors.Join(failed...)
}

// acquire returns the serving database and keeps it open until the caller calls
// queries.Done.
func (v *View) acquire() (*database, error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.serving == nil {
		return nil, v.unavailable()
	}
	v.serving.queries.Add(1)
	return v.serving, nil
}

func (v *View) unavailable() error {
	return errs.New(errs.Unavailable, "view %s is being built; try again", v.def.Name)
}

// Get scans the first row of a query into dest and reports whether there is one. The query ends
// when ctx does, and after Config.QueryTime when ctx has no deadline. The error has the code
// errs.Unavailable when it took too long, while the view cannot be queried, and when the query
// fails on rows of an older definition, which a rebuild is replacing. It is ctx's error when ctx
// was cancelled, or ended before a connection was free.
func (v *View) Get(ctx context.Context, query string, args []any, dest ...any) (found bool, err error) {
	return v.query(ctx, query, args, dest, nil)
}

// Each calls row for each row of a query; row reads the columns with scan. It must not
// query a view, since all connections may be waiting in the same way. An error of row ends
// the query. Errors are those of Get and of row.
func (v *View) Each(ctx context.Context, query string, args []any, row func(scan func(...any) error) error) error {
	_, err := v.query(ctx, query, args, nil, row)
	return err
}

func (v *View) query(ctx context.Context, query string, args, dest []any, row func(scan func(...any) error) error) (found bool, err error) {
	db, err := v.acquire()
	if err != nil {
		return false, err
	}
	defer db.queries.Done()
	found, err = db.do(ctx, v.config.QueryTime, query, args, dest, row)
	return found, v.queryError(db, err)
}

// queryError returns what the caller of a query sees for err. A query of the current
// definition can fail in any way on the rows of an older one; such a failure ends once the
// rows are replaced, so it is reported as Unavailable.
func (v *View) queryError(db *database, err error) error {
	_, coded := errs.As(err)
	switch {
	case err == nil || coded:
		return err
	case isDamaged(err):
		v.retire(db, err)
		return v.unavailable()
	case !db.current:
		v.config.Logger.Debug("a query does not fit the rows of an older definition; the view is being rebuilt", "view", v.def.Name, "reason", err)
		return v.unavailable()
	}
	return err
}

// retire stops a damaged database from serving and wakes Run, which builds another one.
func (v *View) retire(db *database, why error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.serving != db {
		return
	}
	v.config.Logger.Error("a view's file is damaged; the view is being rebuilt", "view", v.def.Name, "file", db.path, "reason", why)
	v.serving, v.retired = nil, append(v.retired, db)
	v.wakeRun()
}

// wakeRun makes Run check what there is to do.
func (v *View) wakeRun() {
	select {
	case v.wakeup <- struct{}{}:
	default:
	}
}

func (v *View) fail(err error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.failed == nil {
		v.failed = err
	}
	v.signalAll()
}

// Failed returns why the view stopped following its streams, or nil when it has not failed.
// A view that has failed keeps answering queries from the rows that it has.
func (v *View) Failed() error {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.failed
}
