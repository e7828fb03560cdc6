package projection

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"sync"
	"sync/atomic"

	"lonja/kit/eventlog"
)

// file is one file of a view: its rows, and how far on each stream they stand.
// It is made by begin and finish, or found and opened by openFile.
type file struct {
	found
	def      *Definition
	config   *Config
	current  bool                  // its rows are what this definition makes; else an older one's
	building bool                  // it is being made, out of sight
	moved    func(touched []Touch) // is told whenever the rows have changed

	db    *sql.DB
	conn  *sql.Conn  // writes, inside write
	write sync.Mutex // one transaction at a time, from any stream
	stmts map[string]*sql.Stmt
	facts atomic.Uint64 // that were put into the rows

	*readers
	using sync.WaitGroup // queries under way
	feeds []*feed
	disk  os.FileInfo // which file on the disk it is, as it was last seen
	sound bool        // all of it was read and holds together
}

// begin makes a file to build in, with tables and no rows.
func (f *file) begin(ctx context.Context) (err error) {
	f.building, f.current = true, true
	f.path += building
	if f.db, f.conn, err = openWriter(ctx, f.path, hasty); err != nil {
		return err
	}
	for _, src := range f.def.Reads {
		f.feeds = append(f.feeds, newFeed(f, src))
	}
	_, err = f.conn.ExecContext(ctx, fmt.Sprintf("BEGIN IMMEDIATE;%s;PRAGMA user_version = %d;COMMIT;", f.def.schema(), mark(f.hash)))
	if err != nil && !transient(err) {
		return &bug{fmt.Errorf("cannot make the tables: %w", err)}
	}
	return err
}

// finish closes a file that is built, and gives it its name once all of it is on the disk.
func (f *file) finish(ctx context.Context) error {
	if _, err := f.conn.ExecContext(ctx, "PRAGMA journal_mode = WAL"); err != nil {
		return err
	}
	if err := f.close(); err != nil {
		return err
	}
	if err := flush(f.path); err != nil {
		return err
	}
	name := f.path[:len(f.path)-len(building)]
	if err := os.Rename(f.path, name); err != nil {
		return err
	}
	f.path = name
	return flush(f.config.Dir)
}

// openFile opens a finished file and verifies that it is whole and that the log
// still holds what its rows were made of.
func openFile(ctx context.Context, f *file) (err error) {
	defer func() {
		if err != nil {
			err = errors.Join(fmt.Errorf("%s: %w", f.path, err), f.close())
		}
	}()
	if err := usable(f.path); err != nil {
		return err
	}
	if f.db, f.conn, err = openWriter(ctx, f.path, live); err != nil {
		return err
	}
	if err := f.whole(ctx); err != nil {
		return err
	}
	if f.readers, err = openReaders(ctx, f.path); err != nil {
		return err
	}
	stands, err := f.checkpoints(ctx)
	if err != nil {
		return err
	}
	for _, src := range f.def.Reads {
		if _, read := stands[src.Stream]; !read && !f.current {
			continue
		}
		feed := newFeed(f, src)
		if err := feed.standAt(ctx, stands[src.Stream]); err != nil {
			return err
		}
		f.feeds = append(f.feeds, feed)
	}
	learned, err := f.learned(ctx)
	f.current = f.current && !learned
	return err
}

// whole empties the file's log into it and looks whether the file is as long as
// it should be, and the one that its name says.
func (f *file) whole(ctx context.Context) (err error) {
	if _, err := f.conn.ExecContext(ctx, "PRAGMA wal_checkpoint(TRUNCATE)"); err != nil {
		return err
	}
	var size int64
	var bears int32
	err = f.conn.QueryRowContext(ctx, `SELECT page_count * page_size, user_version
		FROM pragma_page_count(), pragma_page_size(), pragma_user_version()`).Scan(&size, &bears)
	if err != nil {
		return err
	}
	if f.disk, err = os.Stat(f.path); err != nil {
		return err
	}
	if size == 0 || f.disk.Size() < size || bears != mark(f.hash) {
		return fmt.Errorf("%w: it has %d bytes where there should be %d, and bears %x", errDamaged, f.disk.Size(), size, uint32(bears))
	}
	return nil
}

// longLog is how long a -wal may grow before it is cut; SQLite alone keeps it at
// four megabytes, but never cuts what a long reader let grow.
const longLog = 16 << 20

// shorten cuts the file's -wal when it has grown long. It does not wait for
// readers: there is a next time.
func (f *file) shorten(ctx context.Context) error {
	if wal, err := os.Stat(f.path + "-wal"); err != nil || wal.Size() < longLog {
		return nil
	}
	f.write.Lock()
	defer f.write.Unlock()
	_, err := f.conn.ExecContext(context.WithoutCancel(ctx), "PRAGMA busy_timeout = 100; PRAGMA wal_checkpoint(TRUNCATE); PRAGMA busy_timeout = 5000")
	return err
}

// tx is a transaction that is not interrupted halfway: it is short.
func (f *file) tx(ctx context.Context) *Tx {
	return &Tx{ctx: context.WithoutCancel(ctx), conn: f.conn, stmts: f.stmts}
}

// commit puts events of one stream into the rows, and the checkpoint.
func (f *file) commit(ctx context.Context, from *feed, facts []eventlog.Record) (err error) {
	f.write.Lock()
	defer f.write.Unlock()
	if f.stmts == nil {
		f.stmts = map[string]*sql.Stmt{}
	}
	tx := f.tx(ctx)
	if err := tx.Exec("BEGIN IMMEDIATE"); err != nil {
		return err
	}
	defer func() {
		if err != nil {
			_, rollback := f.conn.ExecContext(tx.ctx, "ROLLBACK")
			err = errors.Join(err, rollback)
		}
	}()
	for _, event := range facts {
		if event.Event == nil {
			if err := passOver(tx, event); err != nil {
				return err
			}
			continue
		}
		if err := project(f.def.Project, tx, event); err != nil {
			return err
		}
		if f.def.Commands {
			if err := tx.Exec(`INSERT OR IGNORE INTO wishes (id, entity) VALUES (?, ?)`, event.Causation, event.Event.EntityID()); err != nil {
				return err
			}
		}
	}
	last := facts[len(facts)-1]
	if err := note(tx, checkpoint{last.Stream, from.created, last.Sequence, last.ID}); err != nil {
		return err
	}
	if err := tx.Exec("COMMIT"); err != nil {
		return err
	}
	f.facts.Add(uint64(len(facts)))
	from.sequence, from.event = last.Sequence, last.ID
	from.reach(last.Sequence, tx.touched...)
	return nil
}

// bug is an error of a definition: the same again would fail again.
type bug struct{ error }

func (e *bug) Unwrap() error { return e.error }

func project(p func(*Tx, eventlog.Record) error, tx *Tx, event eventlog.Record) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("panic: %v", r)
		}
		if err == nil {
			err = tx.err
		}
		if err != nil && !transient(err) && !damaged(err) {
			err = &bug{fmt.Errorf("cannot project %s at %s:%d: %w", event.Type, event.Stream, event.Sequence, err)}
		}
	}()
	tx.at = event
	return p(tx, event)
}

// behind is a feed that has not brought the rows to where the token points, nil
// when there is none.
func (f *file) behind(token Token) *feed {
	for _, feed := range f.feeds {
		if token[feed.source.Stream] > feed.reached.Load() {
			return feed
		}
	}
	return nil
}

// close waits for the queries under way and closes the file.
func (f *file) close() error {
	f.using.Wait()
	var failed []error
	if f.readers != nil {
		failed = append(failed, f.readers.close())
	}
	if f.db != nil {
		failed = append(failed, closeAll(f.stmts), f.conn.Close(), f.db.Close())
	}
	f.readers, f.db, f.conn, f.stmts = nil, nil, nil, nil
	return errors.Join(failed...)
}
