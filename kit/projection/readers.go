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

// readers answer queries from a database's committed rows. Each one is a goroutine with a
// connection of its own. SQLite needs a deep stack, which would otherwise grow again in
// each goroutine that queries. All connections are opened at once: one that is opened later
// would read another file if the database's had been replaced.
type readers struct {
	db       *sql.DB
	requests chan *readRequest
	running  sync.WaitGroup
}

// readRequest is a function that a reader runs for another goroutine.
type readRequest struct {
	run      func(*reader) error
	err      error
	panicked any // what run panicked with, and its stack
	done     chan struct{}
}

type reader struct {
	conn  *sql.Conn
	stmts map[string]*sql.Stmt
}

func openReaders(ctx context.Context, path string) (*readers, error) {
	db, err := openDB(path, readerOptions)
	if err != nil {
		return nil, err
	}
	r := &readers{db: db, requests: make(chan *readRequest)}
	for range max(4, min(8, 2*runtime.NumCPU())) {
		conn, err := db.Conn(ctx)
		if err != nil {
			return nil, errors.Join(err, r.close())
		}
		one := &reader{conn, map[string]*sql.Stmt{}}
		r.running.Go(func() { one.serve(r.requests) })
	}
	return r, nil
}

// close ends the readers. Nothing may call do afterwards.
func (r *readers) close() error {
	close(r.requests)
	r.running.Wait()
	return r.db.Close()
}

// do runs a function on the next free reader. ctx ends only the wait for one. A panic of
// the function continues in the caller.
func (r *readers) do(ctx context.Context, run func(*reader) error) error {
	request := &readRequest{run: run, done: make(chan struct{})}
	select {
	case r.requests <- request:
	case <-ctx.Done():
		return ctx.Err()
	}
	<-request.done
	if request.panicked != nil {
		panic(request.panicked)
	}
	return request.err
}

func (r *reader) serve(requests <-chan *readRequest) {
	defer r.conn.Close()
	defer func() { _ = closeAll(r.stmts) }()
	for request := range requests {
		func() {
			defer close(request.done)
			defer func() {
				if p := recover(); p != nil {
					request.panicked = fmt.Sprintf("%v\n%s", p, debug.Stack())
				}
			}()
			request.err = request.run(r)
		}()
	}
}

// get takes no context: to make a query interruptible costs more than most single rows do.
func (r *reader) get(query string, args, dest []any) (found bool, err error) {
	s, err := prepare(context.Background(), r.conn, r.stmts, query)
	if err != nil {
		return false, err
	}
	return scanFirst(context.Background(), s, query, args, dest)
}

func (r *reader) each(ctx context.Context, query string, args []any, row func(scan func(...any) error) error) error {
	s, err := prepare(context.Background(), r.conn, r.stmts, query)
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
