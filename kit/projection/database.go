package projection

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"lonja/kit/eventlog"
	"lonja/kit/projection/internal/sqlite"
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
	onErase  func()            // called after a commit that erased; not called while it is built
	awaited  func() bool       // reports whether somebody waits for whatever changes next

	conn    *sqlite.Conn  // the only writer; used inside write
	write   sync.Mutex    // allows one transaction at a time, whatever the stream
	events  atomic.Uint64 // that were committed since it was created or opened
	erasing atomic.Bool   // content that was erased may still be on the disk

	*readers
	queries   sync.WaitGroup // in progress
	consumers []*consumer
	stat      os.FileInfo // of the open file, when it was last checked
	checked   bool        // the whole content was read and found undamaged
	measured  bool        // it is known whether it is far behind; used by Run only
	outdated  time.Time   // when outdated rows were last deleted

	// Of a build; used inside write.
	begun       bool     // a transaction is open, see flush
	lateIndexes []string // the statements that create the indexes which wait, see Definition.LateIndexes
}

// create creates the file, with the tables and no rows, to build in.
func (d *database) create() (err error) {
	d.building, d.current = true, true
	d.path += buildSuffix
	if d.conn, err = sqlite.Open(d.path, sqlite.Create, buildPragmas...); err != nil {
		return err
	}
	for _, src := range d.def.sources() {
		d.consumers = append(d.consumers, newConsumer(d, src))
	}
	err = d.conn.Script(fmt.Sprintf("BEGIN IMMEDIATE;%s;PRAGMA user_version = %d;COMMIT;", d.def.schema(), userVersion(d.hash)))
	if err == nil && d.def.LateIndexes {
		err = d.dropIndexes()
	}
	if err != nil && !isTransient(err) {
		return &definitionError{fmt.Errorf("cannot create the tables: %w", err)}
	}
	return err
}

// finish closes a database that was built, and renames it once all of it is on the disk.
func (d *database) finish() error {
	if err := d.flush(); err != nil {
		return err
	}
	if err := d.scrub(); err != nil {
		return err
	}
	if err := d.conn.Script("PRAGMA journal_mode = WAL"); err != nil {
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
	if d.conn, err = sqlite.Open(d.path, sqlite.Write, writerPragmas...); err != nil {
		return err
	}
	if err := d.verifyFile(); err != nil {
		return err
	}
	if d.readers, err = openReaders(d.path); err != nil {
		return err
	}
	checkpoints, err := d.readCheckpoints()
	if err != nil {
		return err
	}
	for _, src := range d.def.sources() {
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
// and is the one that its name claims. Another process that reads the file, such as an audit,
// may hold the -wal back; its content counts as erased, since nothing tells that it is not.
func (d *database) verifyFile() (err error) {
	held := d.checkpoint()
	if held != nil && !errors.Is(held, errHeldBack) {
		return held
	}
	var size int64
	var version, mark int32
	_, err = d.conn.First(`SELECT page_count * page_size, user_version, application_id
		FROM pragma_page_count(), pragma_page_size(), pragma_user_version(), pragma_application_id()`, nil, []any{&size, &version, &mark})
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
	d.erasing.Store(mark == eraseMark || held != nil)
	return nil
}

// maxWAL is the size in bytes from which a -wal file is truncated. SQLite by itself keeps
// the file at four megabytes, but never shrinks one that grew because of a long reader.
const maxWAL = 16 << 20

// truncateWAL truncates a large -wal file. It does not wait long for readers, since the
// next check tries again.
func (d *database) truncateWAL() error {
	if wal, err := os.Stat(d.path + "-wal"); err != nil || wal.Size() < maxWAL {
		return nil
	}
	d.write.Lock()
	defer d.write.Unlock()
	err := d.checkpoint()
	if errors.Is(err, errHeldBack) {
		return nil
	}
	return err
}

// commit writes the rows of events of one stream, and the checkpoint, in one transaction. It is
// short, so nothing interrupts it. The transaction of a build ends only with flush.
func (d *database) commit(from *consumer, records []eventlog.Record) (err error) {
	d.write.Lock()
	defer d.write.Unlock()
	tx := &Tx{conn: d.conn}
	if err := d.begin(); err != nil {
		return err
	}
	defer func() {
		if err != nil && !d.building { // a build that fails is thrown away
			err = errors.Join(err, d.conn.Exec("ROLLBACK"))
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
		if err := d.def.rememberCommand(tx, r); err != nil {
			return err
		}
	}
	last := records[len(records)-1]
	if err := writeCheckpoint(tx, checkpoint{last.Stream, from.created, last.Sequence, last.ID}); err != nil {
		return err
	}
	if err := tx.markErased(); err != nil {
		return err
	}
	if err := d.end(len(records)); err != nil {
		return err
	}
	if tx.erased && !d.building {
		d.erasing.Store(true)
		d.onErase()
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

// hurry tells the consumers that have not reached the token's sequence that somebody waits for
// it. A nil token means all of them.
func (d *database) hurry(token Token) {
	for _, c := range d.consumers {
		if token != nil && token[c.source.Stream] <= c.position.Load() {
			continue
		}
		select {
		case c.hurry <- struct{}{}:
		default:
		}
	}
}

// close waits for the queries in progress and closes the database.
func (d *database) close() error {
	d.queries.Wait()
	var failed []error
	if d.readers != nil {
		failed = append(failed, d.readers.close())
	}
	if d.conn != nil {
		failed = append(failed, d.conn.Close())
	}
	d.readers, d.conn = nil, nil
	return errors.Join(failed...)
}
