// Package view makes rows out of events. A view answers out of a SQLite file of
// its own, fed by durable consumers of its own. A batch of events, their rows and
// the checkpoint go in one transaction; the acknowledgement follows the commit.
// So a file is never ahead of its checkpoint nor behind it, and can be thrown
// away at any time: a View makes another of the whole log, out of sight, while
// the old one, as long as there is one, goes on answering.
package projection

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"

	"lonja/kit/errs"
	"lonja/kit/natsauth"
)

// View is a running view. Make it with New, then Open and Run it.
type View struct {
	def    Definition
	config Config
	folder folder
	number int           // of the newest file, inside Open and Run
	wanted chan struct{} // wakes Run

	mu       sync.Mutex
	answers  *file             // nil while there is nothing to answer from
	dropped  []*file           // answer no more, but are still open
	building *file             // nil while none is
	asked    *attempt          // to build, nil when nobody wants it
	moved    chan struct{}     // closed and replaced when the rows change
	watched  map[string]*watch // the same for single keys, as long as somebody watches
	failed   error             // why the view stopped, if it did
	over     bool              // Run has ended
	built    Built
}

// New makes a view of a definition. It panics when something is missing.
func New(def Definition) *View {
	if def.Name == "" || def.Schema == "" || def.Project == nil || len(def.Reads) == 0 {
		panic("view: a definition needs Name, Schema, Reads and Project")
	}
	return &View{def: def, moved: make(chan struct{}), watched: map[string]*watch{}, wanted: make(chan struct{}, 1)}
}

// Name is the definition's.
func (v *View) Name() string { return v.def.Name }

// Sources are the streams that the view is made of.
func (v *View) Sources() []Source { return v.def.Reads }

// Permissions is what feeding the view takes. Shared names a stream's consumers that
// are not the view's to touch.
func (v *View) Permissions(shared func(stream string) []string) natsauth.Permissions {
	var g natsauth.Permissions
	for _, src := range v.def.Reads {
		g.Add(natsauth.AllowRead(src.Stream), natsauth.AllowOwnConsumers(src.Stream, shared(src.Stream)))
	}
	return g
}

// Open finds the newest file that is whole, and verifies that the log still
// holds what its rows were made of: that it does not is an error, for that may
// be events that are lost. When there is no such file, or only one of an older
// schema, Run will make one; only on an empty log there is one at once.
func (v *View) Open(ctx context.Context, config Config) error {
	v.config = config
	if v.config.Watch == 0 {
		v.config.Watch = 5 * time.Second
	}
	v.folder = folderOf(config.Dir, v.def.Name)
	if err := os.MkdirAll(config.Dir, 0o750); err != nil {
		return err
	}
	f, err := v.find(ctx)
	if err == nil && f == nil {
		f, err = v.first(ctx)
	}
	if err != nil {
		return fmt.Errorf("open view %s: %w", v.def.Name, err)
	}
	keep := ""
	if v.answers = f; f != nil {
		keep = f.path
	}
	if err := v.folder.clean(keep); err != nil {
		return fmt.Errorf("open view %s: %w", v.def.Name, err)
	}
	return nil
}

// find opens the newest file that is whole, rather one of the present schema;
// it is nil when there is none.
func (v *View) find(ctx context.Context) (*file, error) {
	files, last, err := v.folder.list()
	if v.number = last; err != nil {
		return nil, err
	}
	for _, current := range []bool{true, false} {
		for _, found := range files {
			f := v.file(found)
			if f.current != current {
				continue
			}
			err := openFile(ctx, f)
			if err == nil {
				return f, nil
			}
			if !damaged(err) {
				return nil, err
			}
			v.config.Logger.Warn("a view's file cannot be used and will be made anew", "view", v.def.Name, "reason", err)
		}
	}
	return nil, nil
}

// first makes a file of a log that is empty.
func (v *View) first(ctx context.Context) (*file, error) {
	for _, src := range v.def.Reads {
		stream, err := v.config.JetStream.Stream(ctx, src.Stream)
		if err != nil {
			return nil, fmt.Errorf("stream %s: %w", src.Stream, err)
		}
		if stream.CachedInfo().State.LastSeq > 0 {
			return nil, nil
		}
	}
	f := v.next()
	if err := f.begin(ctx); err != nil {
		return nil, err
	}
	return v.reopen(ctx, f)
}

// Close closes the file. Queries fail from then on.
func (v *View) Close() error {
	v.mu.Lock()
	if v.answers != nil {
		v.dropped = append(v.dropped, v.answers)
	}
	dropped := v.dropped
	v.answers, v.dropped = nil, nil
	v.mu.Unlock()
	var failed []error
	for _, f := range dropped {
		failed = append(failed, f.close())
	}
	return errors.Join(failed...)
}

// acquire is the file that answers; whoever has it says Done when he has read.
func (v *View) acquire() (*file, error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.answers == nil {
		return nil, v.absent()
	}
	v.answers.using.Add(1)
	return v.answers, nil
}

func (v *View) absent() error {
	return errs.New(errs.Unavailable, "view %s is being built; try again", v.def.Name)
}

// Get scans the first row of a query into dest; found is false when there is
// none. It is an Unavailable refusal while there is nothing to answer from. It
// is meant for queries that are quick: one that has begun goes on to its end.
func (v *View) Get(ctx context.Context, query string, args []any, dest ...any) (found bool, err error) {
	f, err := v.acquire()
	if err != nil {
		return false, err
	}
	defer f.using.Done()
	err = f.do(ctx, func(r *reader) (err error) {
		found, err = r.get(query, args, dest)
		return err
	})
	return found, v.judge(f, err)
}

// Each calls row for every row of a query; row scans it, and asks no view. The
// error is as Get's, or ctx's, or row's.
func (v *View) Each(ctx context.Context, query string, args []any, row func(scan func(...any) error) error) error {
	f, err := v.acquire()
	if err != nil {
		return err
	}
	defer f.using.Done()
	return v.judge(f, f.do(ctx, func(r *reader) error { return r.each(ctx, query, args, row) }))
}

// judge says what an error of a query means. A query of this definition may not
// fit the rows of an older one, in whatever way; it will when they are replaced.
func (v *View) judge(f *file, err error) error {
	_, refused := errs.As(err)
	switch {
	case err == nil || refused:
		return err
	case damaged(err):
		v.drop(f, err)
		return v.absent()
	case !f.current:
		v.config.Logger.Debug("a query does not fit a view that is being built anew", "view", v.def.Name, "reason", err)
		return v.absent()
	}
	return err
}

// drop lets a damaged file answer no more, and has another one made.
func (v *View) drop(f *file, why error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.answers != f {
		return
	}
	v.config.Logger.Error("a view's file is damaged and is made anew", "view", v.def.Name, "file", f.path, "reason", why)
	v.answers, v.dropped = nil, append(v.dropped, f)
	v.wake()
}

// wake makes Run look what is to be done.
func (v *View) wake() {
	select {
	case v.wanted <- struct{}{}:
	default:
	}
}

// CommandEntity is the entity that a command was recorded for, "" when it is none that
// the view remembers. The view may be behind: the last minutes must be known
// from elsewhere, as they are from the stream's own window of duplicates.
func (v *View) CommandEntity(ctx context.Context, wish string) (entity string, err error) {
	_, err = v.Get(ctx, `SELECT entity FROM wishes WHERE id = ?`, []any{wish}, &entity)
	return entity, err
}

func (v *View) fail(err error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.failed == nil {
		v.failed = err
	}
	v.moveAll()
}

// Failed is why the view stopped, nil while it runs.
func (v *View) Failed() error {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.failed
}
