package projection

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"

	"modernc.org/sqlite" // also registers the driver
	sqlite3 "modernc.org/sqlite/lib"
)

// The options of the connections. A database that is being built can be discarded, so its
// connection neither calls fsync nor keeps a journal on the disk. It is the only one that
// may create a file.
const (
	commonOptions = "_pragma=busy_timeout(5000)&_pragma=foreign_keys(1)"
	writerOptions = "?mode=rw&" + commonOptions + "&_pragma=journal_mode(WAL)&_pragma=synchronous(NORMAL)"
	buildOptions  = "?mode=rwc&" + commonOptions + "&_pragma=journal_mode(MEMORY)&_pragma=synchronous(OFF)"
	readerOptions = writerOptions + "&_query_only=1"
)

func openDB(path, options string) (*sql.DB, error) {
	return sql.Open("sqlite", "file:"+(&url.URL{Path: path}).EscapedPath()+options)
}

// openWriter opens a database's only writing connection.
func openWriter(ctx context.Context, path, options string) (*sql.DB, *sql.Conn, error) {
	db, err := openDB(path, options)
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

// prepare returns the prepared statement of a query. It prepares each one once and stores
// it in stmts, which belong to conn.
func prepare(ctx context.Context, conn *sql.Conn, stmts map[string]*sql.Stmt, query string) (*sql.Stmt, error) {
	if s, ok := stmts[query]; ok {
		return s, nil
	}
	s, err := conn.PrepareContext(ctx, query)
	if err != nil {
		return nil, fmt.Errorf("%w in: %s", err, query)
	}
	stmts[query] = s
	return s, nil
}

// scanFirst scans the first row of a prepared query into dest and reports whether there is one.
func scanFirst(ctx context.Context, s *sql.Stmt, query string, args, dest []any) (found bool, err error) {
	switch err := s.QueryRowContext(ctx, args...).Scan(dest...); err {
	case nil:
		return true, nil
	case sql.ErrNoRows:
		return false, nil
	default:
		return false, fmt.Errorf("%w in: %s", err, query)
	}
}

// closeAll closes the statements of a connection. SQLite keeps a file open until its last
// statement is closed.
func closeAll(stmts map[string]*sql.Stmt) error {
	var failed []error
	for _, s := range stmts {
		failed = append(failed, s.Close())
	}
	return errors.Join(failed...)
}

// errDamaged marks a file whose content is not what was written.
var errDamaged = errors.New("the file is damaged")

// isDamaged reports whether an error means that a file's content is not what was written.
func isDamaged(err error) bool {
	var e *sqlite.Error
	if errors.As(err, &e) {
		primary := e.Code() & 0xff
		return primary == sqlite3.SQLITE_CORRUPT || primary == sqlite3.SQLITE_NOTADB || e.Code() == sqlite3.SQLITE_IOERR_SHORT_READ
	}
	return errors.Is(err, errDamaged)
}

// isTransient reports whether an error comes from a condition that may pass, such as a full
// disk, so that a retry may succeed.
func isTransient(err error) bool {
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

// quickCheck reads all of a database with SQLite's quick_check and returns an error that
// wraps errDamaged when it is inconsistent.
func quickCheck(ctx context.Context, path string) error {
	db, err := openDB(path, readerOptions)
	if err != nil {
		return err
	}
	defer db.Close()
	var result string
	if err := db.QueryRowContext(ctx, "PRAGMA quick_check(1)").Scan(&result); err != nil {
		return err
	}
	if result != "ok" {
		return fmt.Errorf("%w: %s", errDamaged, result)
	}
	return nil
}
