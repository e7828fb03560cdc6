package view

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"runtime"
	"sync"

	"modernc.org/sqlite" // the driver
	sqlite3 "modernc.org/sqlite/lib"
)

const pragmas = "?_pragma=busy_timeout(5000)&_pragma=journal_mode(WAL)&_pragma=synchronous(NORMAL)&_pragma=foreign_keys(1)"

// openWriter opens the file's one writing connection, making the file when
// there is none.
func openWriter(ctx context.Context, path string) (*sql.DB, *sql.Conn, error) {
	db, err := sql.Open("sqlite", "file:"+path+pragmas+"&_txlock=immediate")
	if err != nil {
		return nil, nil, err
	}
	db.SetMaxOpenConns(1)
	conn, err := db.Conn(ctx)
	if err != nil {
		db.Close()
		return nil, nil, err
	}
	return db, conn, nil
}

func openReaders(path string) (*sql.DB, error) {
	db, err := sql.Open("sqlite", "file:"+path+pragmas+"&_query_only=1")
	if err != nil {
		return nil, err
	}
	n := max(4, min(8, 2*runtime.NumCPU()))
	db.SetMaxOpenConns(n)
	db.SetMaxIdleConns(n)
	return db, nil
}

// Tx is one transaction of a projection. Its statements are prepared once for
// the life of the view. The first error sticks: all later calls return it, so a
// projection may leave the checking to its caller.
type Tx struct {
	ctx   context.Context
	conn  *sql.Conn
	stmts map[string]*sql.Stmt
	err   error
}

func (v *View) tx(ctx context.Context) *Tx { return &Tx{ctx: ctx, conn: v.conn, stmts: v.stmts} }

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

// Reader answers out of a view's committed rows. It is safe for concurrent use.
type Reader struct {
	db    *sql.DB
	stmts sync.Map // query -> *sql.Stmt
}

func (r *Reader) stmt(ctx context.Context, query string) (*sql.Stmt, error) {
	if s, ok := r.stmts.Load(query); ok {
		return s.(*sql.Stmt), nil
	}
	s, err := r.db.PrepareContext(ctx, query)
	if err != nil {
		return nil, fmt.Errorf("%w in: %s", err, query)
	}
	if other, loaded := r.stmts.LoadOrStore(query, s); loaded {
		s.Close()
		return other.(*sql.Stmt), nil
	}
	return s, nil
}

// Get scans the first row of a query into dest; found is false when there is none.
func (r *Reader) Get(ctx context.Context, query string, args []any, dest ...any) (found bool, err error) {
	s, err := r.stmt(ctx, query)
	if err != nil {
		return false, err
	}
	switch err := s.QueryRowContext(ctx, args...).Scan(dest...); err {
	case nil:
		return true, nil
	case sql.ErrNoRows:
		return false, nil
	default:
		return false, fmt.Errorf("%w in: %s", err, query)
	}
}

// Each calls row for every row of a query; row scans it.
func (r *Reader) Each(ctx context.Context, query string, args []any, row func(scan func(...any) error) error) error {
	s, err := r.stmt(ctx, query)
	if err != nil {
		return err
	}
	rows, err := s.QueryContext(ctx, args...)
	if err != nil {
		return fmt.Errorf("%w in: %s", err, query)
	}
	defer rows.Close()
	for rows.Next() {
		if err := row(rows.Scan); err != nil {
			return err
		}
	}
	return rows.Err()
}
