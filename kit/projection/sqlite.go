package projection

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"

	"modernc.org/sqlite" // the driver
	sqlite3 "modernc.org/sqlite/lib"

	"lonja/kit/eventlog"
)

// How the connections to a file are set up. A file that is being built is worth
// nothing until it is finished, so it is written without the care that a crash
// would need. Only then may a file be made that is not there.
const (
	common = "_pragma=busy_timeout(5000)&_pragma=foreign_keys(1)"
	live   = "?mode=rw&" + common + "&_pragma=journal_mode(WAL)&_pragma=synchronous(NORMAL)"
	hasty  = "?mode=rwc&" + common + "&_pragma=journal_mode(MEMORY)&_pragma=synchronous(OFF)"
	looks  = live + "&_query_only=1"
)

func connect(path, how string) (*sql.DB, error) {
	return sql.Open("sqlite", "file:"+(&url.URL{Path: path}).EscapedPath()+how)
}

// openWriter opens a file's one writing connection.
func openWriter(ctx context.Context, path, how string) (*sql.DB, *sql.Conn, error) {
	db, err := connect(path, how)
	if err != nil {
		return nil, nil, err
	}
	db.SetMaxOpenConns(1)
	conn, err := db.Conn(ctx)
	if err != nil {
		return nil, nil, errors.Join(err, db.Close())
	}
	return db, conn, nil
}

// closeAll closes the statements of one connection. SQLite keeps a file open as
// long as there are any.
func closeAll(stmts map[string]*sql.Stmt) error {
	var failed []error
	for _, s := range stmts {
		failed = append(failed, s.Close())
	}
	return errors.Join(failed...)
}

// errDamaged marks a file that is not what was written.
var errDamaged = errors.New("the file is damaged")

// damaged reports whether an error says that the file is not what was written.
func damaged(err error) bool {
	var e *sqlite.Error
	if errors.As(err, &e) {
		primary := e.Code() & 0xff
		return primary == sqlite3.SQLITE_CORRUPT || primary == sqlite3.SQLITE_NOTADB || e.Code() == sqlite3.SQLITE_IOERR_SHORT_READ
	}
	return errors.Is(err, errDamaged)
}

// transient reports whether an error lies in the circumstances, such as a full
// disk, so that the same again may succeed.
func transient(err error) bool {
	var e *sqlite.Error
	if errors.As(err, &e) {
		switch e.Code() & 0xff {
		case sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR,
			sqlite3.SQLITE_NOMEM, sqlite3.SQLITE_INTERRUPT, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY:
			return true
		}
	}
	return errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded)
}

// check reads all of a file and reports whether it holds together.
func check(ctx context.Context, path string) error {
	db, err := connect(path, looks)
	if err != nil {
		return err
	}
	defer db.Close()
	var verdict string
	if err := db.QueryRowContext(ctx, "PRAGMA quick_check(1)").Scan(&verdict); err != nil {
		return err
	}
	if verdict != "ok" {
		return fmt.Errorf("%w: %s", errDamaged, verdict)
	}
	return nil
}

// Tx is one transaction of a projection. Its statements are prepared once for
// the life of the file. The first error sticks: all later calls return it, so a
// projection may leave the checking to its caller.
type Tx struct {
	ctx     context.Context
	conn    *sql.Conn
	stmts   map[string]*sql.Stmt
	at      eventlog.Record // the event that is projected
	touched []Touch
	err     error
}

// Touch is a key that a projection touched, and the last event at which it did.
type Touch struct {
	Key      string
	Stream   string
	Sequence uint64
}

// Touch wakes those who watch a key, once the transaction is committed; see
// View.Watch. Config.Touched is told, too.
func (tx *Tx) Touch(key string) {
	now := Touch{key, tx.at.Stream, tx.at.Sequence}
	if n := len(tx.touched); n > 0 && tx.touched[n-1].Key == key {
		tx.touched[n-1] = now
		return
	}
	tx.touched = append(tx.touched, now)
}

func (tx *Tx) stmt(query string) (*sql.Stmt, error) {
	if tx.err != nil {
		return nil, tx.err
	}
	s, ok := tx.stmts[query]
	if !ok {
		s, tx.err = tx.conn.PrepareContext(tx.ctx, query)
		if tx.err != nil {
			tx.err = fmt.Errorf("%w in: %s", tx.err, query)
			return nil, tx.err
		}
		tx.stmts[query] = s
	}
	return s, nil
}

// Exec runs a statement that returns no rows.
func (tx *Tx) Exec(query string, args ...any) error {
	s, err := tx.stmt(query)
	if err != nil {
		return err
	}
	if _, err := s.ExecContext(tx.ctx, args...); err != nil {
		tx.err = fmt.Errorf("%w in: %s", err, query)
	}
	return tx.err
}

// Get scans the first row of a query into dest; found is false when there is none.
func (tx *Tx) Get(query string, args []any, dest ...any) (found bool, err error) {
	s, err := tx.stmt(query)
	if err != nil {
		return false, err
	}
	switch err := s.QueryRowContext(tx.ctx, args...).Scan(dest...); err {
	case nil:
		return true, nil
	case sql.ErrNoRows:
		return false, nil
	default:
		tx.err = fmt.Errorf("%w in: %s", err, query)
		return false, tx.err
	}
}
