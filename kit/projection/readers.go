package projection

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"runtime"
	"runtime/debug"
	"sync"
)

// readers answer out of a file's committed rows. Each is a goroutine with a
// connection of its own, opened at once: SQLite needs a deep stack, which would
// grow anew in every goroutine that asks, and a connection that is opened later
// would find another file when somebody has replaced it.
type readers struct {
	db      *sql.DB
	waiting chan *question
	running sync.WaitGroup
}

// question is asked by one goroutine and answered by a reader.
type question struct {
	ask      func(*reader) error
	err      error
	panicked any
	answered chan struct{}
}

type reader struct {
	conn  *sql.Conn
	stmts map[string]*sql.Stmt
}

func openReaders(ctx context.Context, path string) (*readers, error) {
	db, err := connect(path, looks)
	if err != nil {
		return nil, err
	}
	r := &readers{db: db, waiting: make(chan *question)}
	for range max(4, min(8, 2*runtime.NumCPU())) {
		conn, err := db.Conn(ctx)
		if err != nil {
			return nil, errors.Join(err, r.close())
		}
		one := &reader{conn, map[string]*sql.Stmt{}}
		r.running.Go(func() { one.answer(r.waiting) })
	}
	return r, nil
}

// close ends the readers; nobody may ask any more.
func (r *readers) close() error {
	close(r.waiting)
	r.running.Wait()
	return r.db.Close()
}

func (r *readers) do(ctx context.Context, ask func(*reader) error) error {
	q := &question{ask: ask, answered: make(chan struct{})}
	select {
	case r.waiting <- q:
	case <-ctx.Done():
		return ctx.Err()
	}
	<-q.answered
	if q.panicked != nil {
		panic(q.panicked)
	}
	return q.err
}

func (r *reader) answer(waiting <-chan *question) {
	defer r.conn.Close()
	defer func() { _ = closeAll(r.stmts) }()
	for q := range waiting {
		func() {
			defer close(q.answered)
			defer func() {
				if p := recover(); p != nil {
					q.panicked = fmt.Sprintf("%v\n%s", p, debug.Stack())
				}
			}()
			q.err = q.ask(r)
		}()
	}
}

func (r *reader) stmt(query string) (*sql.Stmt, error) {
	if s, ok := r.stmts[query]; ok {
		return s, nil
	}
	s, err := r.conn.PrepareContext(context.Background(), query)
	if err != nil {
		return nil, fmt.Errorf("%w in: %s", err, query)
	}
	r.stmts[query] = s
	return s, nil
}

// get is not interrupted: being able to costs more than most rows do.
func (r *reader) get(query string, args, dest []any) (found bool, err error) {
	s, err := r.stmt(query)
	if err != nil {
		return false, err
	}
	switch err := s.QueryRowContext(context.Background(), args...).Scan(dest...); err {
	case nil:
		return true, nil
	case sql.ErrNoRows:
		return false, nil
	default:
		return false, fmt.Errorf("%w in: %s", err, query)
	}
}

func (r *reader) each(ctx context.Context, query string, args []any, row func(scan func(...any) error) error) error {
	s, err := r.stmt(query)
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
