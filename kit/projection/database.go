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

// database is one SQLite database of a view: its rows and a checkpoint for each stream.
// It is built with create and finish, or opened with openDatabase.
type database struct {
	dbFile
	def      *Definition
	config   *Config
	current  bool              // its rows are those of def; otherwise of an older definition
	building bool              // it is being built and serves no queries
	onCommit func([]KeyChange) // called after each commit, and when the position advances without one

	db     *sql.DB
	conn   *sql.Conn  // the only writer; used inside write
	write  sync.Mutex // allows one transaction at a time, whatever the stream
	stmts  map[string]*sql.Stmt
	events atomic.Uint64 // that were committed since it was created or opened

	*readers
	queries   sync.WaitGroup // in progress
	consumers []*consumer
	stat      os.FileInfo // of the open file, when it was last checked
	checked   bool        // the whole content was read and found undamaged
}

// create creates the file, with the tables and no rows, to build in.
func (d *database) create(ctx context.Context) (err error) {
	d.building, d.current = true, true
	d.path += buildSuffix
	if d.db, d.conn, err = openWriter(ctx, d.path, buildOptions); err != nil {
		return err
	}
	for _, src := range d.def.Reads {
		d.consumers = append(d.consumers, newConsumer(d, src))
	}
	_, err = d.conn.ExecContext(ctx, fmt.Sprintf("BEGIN IMMEDIATE;%s;PRAGMA user_version = %d;COMMIT;", d.def.schema(), userVersion(d.hash)))
	if err != nil && !isTransient(err) {
		return &definitionError{fmt.Errorf("cannot create the tables: %w", err)}
	}
	return err
}

// finish closes a database that was built, and renames it once all of it is on the disk.
func (d *database) finish(ctx context.Context) error {
	if _, err := d.conn.ExecContext(ctx, "PRAGMA journal_mode = WAL"); err != nil {
		return err
	}
	if err := d.close(); err != nil {
		return err
	}
	if err := syncPath(d.path); err != nil {
		return err
	}
	name := d.path[:len(d.path)-len(buildSuffix)]
	if err := os.Rename(d.path, name); err != nil {
		return err
	}
	d.path = name
	return syncPath(d.config.Dir)
}

// openDatabase opens a finished database. It verifies that the file is complete and that
// the streams still hold the events at its checkpoints. Its rows count as those of an older
// definition when they lack events that this program can decode.
func openDatabase(ctx context.Context, d *database) (err error) {
	defer func() {
		if err != nil {
			err = errors.Join(fmt.Errorf("%s: %w", d.path, err), d.close())
		}
	}()
	if err := checkAccess(d.path); err != nil {
		return err
	}
	if d.db, d.conn, err = openWriter(ctx, d.path, writerOptions); err != nil {
		return err
	}
	if err := d.verifyFile(ctx); err != nil {
		return err
	}
	if d.readers, err = openReaders(ctx, d.path); err != nil {
		return err
	}
	checkpoints, err := d.readCheckpoints(ctx)
	if err != nil {
		return err
	}
	for _, src := range d.def.Reads {
		if _, has := checkpoints[src.Stream]; !has && !d.current {
			continue // the older definition may not have read this stream
		}
		c := newConsumer(d, src)
		if err := c.startAt(ctx, checkpoints[src.Stream]); err != nil {
			return err
		}
		d.consumers = append(d.consumers, c)
	}
	incomplete, err := d.skippedKnownEvents(ctx)
	d.current = d.current && !incomplete
	return err
}

// verifyFile moves the -wal into the file, then verifies that the file has its full length
// and is the one that its name claims.
func (d *database) verifyFile(ctx context.Context) (err error) {
	if _, err := d.conn.ExecContext(ctx, "PRAGMA wal_checkpoint(TRUNCATE)"); err != nil {
		return err
	}
	var size int64
	var version int32
	err = d.conn.QueryRowContext(ctx, `SELECT page_count * page_size, user_version
		FROM pragma_page_count(), pragma_page_size(), pragma_user_version()`).Scan(&size, &version)
	if err != nil {
		return err
	}
	if d.stat, err = os.Stat(d.path); err != nil {
		return err
	}
	if size == 0 || d.stat.Size() < size || version != userVersion(d.hash) {
		return fmt.Errorf("%w: it has %d bytes of %d, and user_version %x instead of %x",
			errDamaged, d.stat.Size(), size, uint32(version), uint32(userVersion(d.hash)))
	}
	return nil
}

// maxWAL is the size in bytes from which a -wal file is truncated. SQLite by itself keeps
// the file at four megabytes, but never shrinks one that grew because of a long reader.
const maxWAL = 16 << 20

// truncateWAL truncates a large -wal file. It does not wait long for readers, since the
// next check tries again.
func (d *database) truncateWAL(ctx context.Context) error {
	if wal, err := os.Stat(d.path + "-wal"); err != nil || wal.Size() < maxWAL {
		return nil
	}
	d.write.Lock()
	defer d.write.Unlock()
	_, err := d.conn.ExecContext(context.WithoutCancel(ctx), "PRAGMA busy_timeout = 100; PRAGMA wal_checkpoint(TRUNCATE); PRAGMA busy_timeout = 5000")
	return err
}

// tx returns a transaction that the end of ctx does not interrupt, since it is short.
func (d *database) tx(ctx context.Context) *Tx {
	return &Tx{ctx: context.WithoutCancel(ctx), conn: d.conn, stmts: d.stmts}
}

// commit writes the rows of events of one stream, and the checkpoint, in one transaction.
func (d *database) commit(ctx context.Context, from *consumer, records []eventlog.Record) (err error) {
	d.write.Lock()
	defer d.write.Unlock()
	if d.stmts == nil {
		d.stmts = map[string]*sql.Stmt{}
	}
	tx := d.tx(ctx)
	if err := tx.Exec("BEGIN IMMEDIATE"); err != nil {
		return err
	}
	defer func() {
		if err != nil {
			_, rollback := d.conn.ExecContext(tx.ctx, "ROLLBACK")
			err = errors.Join(err, rollback)
		}
	}()
	for _, r := range records {
		if r.Event == nil {
			if err := recordSkipped(tx, r); err != nil {
				return err
			}
			continue
		}
		if err := project(d.def.Project, tx, r); err != nil {
			return err
		}
		if d.def.Commands {
			if err := tx.Exec(`INSERT OR IGNORE INTO wishes (id, entity) VALUES (?, ?)`, r.Causation, r.Event.EntityID()); err != nil {
				return err
			}
		}
	}
	last := records[len(records)-1]
	if err := writeCheckpoint(tx, checkpoint{last.Stream, from.created, last.Sequence, last.ID}); err != nil {
		return err
	}
	if err := tx.Exec("COMMIT"); err != nil {
		return err
	}
	d.events.Add(uint64(len(records)))
	from.sequence, from.eventID = last.Sequence, last.ID
	from.advance(last.Sequence, tx.changes...)
	return nil
}

// definitionError is an error of the definition: it would occur again on every retry.
type definitionError struct{ error }

func (e *definitionError) Unwrap() error { return e.error }

// project calls Project for one record. It returns a definitionError when Project fails or
// panics, unless the cause is the state of the database or of its surroundings.
func project(p func(*Tx, eventlog.Record) error, tx *Tx, r eventlog.Record) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %v", p)
		}
		if err == nil {
			err = tx.err
		}
		if err != nil && !isTransient(err) && !isDamaged(err) {
			err = &definitionError{fmt.Errorf("cannot project %s at %s:%d: %w", r.Type, r.Stream, r.Sequence, err)}
		}
	}()
	tx.record = r
	return p(tx, r)
}

// lagging returns a consumer that has not reached the token's sequence, nil when there is none.
func (d *database) lagging(token Token) *consumer {
	for _, c := range d.consumers {
		if token[c.source.Stream] > c.position.Load() {
			return c
		}
	}
	return nil
}

// close waits for the queries in progress and closes the database.
func (d *database) close() error {
	d.queries.Wait()
	var failed []error
	if d.readers != nil {
		failed = append(failed, d.readers.close())
	}
	if d.db != nil {
		failed = append(failed, closeAll(d.stmts), d.conn.Close(), d.db.Close())
	}
	d.readers, d.db, d.conn, d.stmts = nil, nil, nil, nil
	return errors.Join(failed...)
}
