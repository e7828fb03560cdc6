package projection

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"runtime/debug"
	"sync"
	"time"

	"lonja/kit/errs"
	"lonja/kit/projection/internal/sqlite"
)

// readers answer queries from a database's committed rows. Each one is a goroutine with a
// connection of its own. SQLite needs a deep stack, which would otherwise grow again in
// each goroutine that queries. All connections are opened at once: one that is opened later
// would read another file if the database's had been replaced.
type readers struct {
	requests chan *query
	running  sync.WaitGroup
}

// query is a query that a reader runs for another goroutine.
type query struct {
	ctx      context.Context
	deadline time.Time
	text     string
	args     []any
	dest     []any // of the first row, when row is nil
	row      func(scan func(...any) error) error

	found    bool
	err      error
	panicked any           // what row panicked with, and its stack
	done     chan struct{} // gets a value once the query has ended
}

// queries keeps those that have ended, to be used again.
var queries = sync.Pool{New: func() any { return &query{done: make(chan struct{}, 1)} }}

func openReaders(path string) (*readers, error) {
	r := &readers{requests: make(chan *query)}
	for range max(4, min(8, 2*runtime.NumCPU())) {
		conn, err := sqlite.Open(path, sqlite.ReadOnly, readerPragmas...)
		if err != nil {
			return nil, errors.Join(err, r.close())
		}
		r.running.Go(func() { serve(conn, r.requests) })
	}
	return r, nil
}

// close ends the readers. Nothing may call do afterwards.
func (r *readers) close() error {
	close(r.requests)
	r.running.Wait()
	return nil
}

// do runs a query on the next free reader, until ctx ends, or for maxTime when ctx has no
// deadline. A panic of the query's function continues in the caller.
func (r *readers) do(ctx context.Context, maxTime time.Duration, text string, args, dest []any, row func(scan func(...any) error) error) (found bool, err error) {
	q := queries.Get().(*query)
	q.ctx, q.text, q.args, q.dest, q.row = ctx, text, args, dest, row
	if deadline, has := ctx.Deadline(); has {
		q.deadline = deadline
	} else {
		q.deadline = time.Now().Add(maxTime)
	}
	select {
	case r.requests <- q:
	case <-ctx.Done():
		return false, ctx.Err()
	}
	<-q.done
	found, err = q.found, q.err
	panicked := q.panicked
	*q = query{done: q.done}
	queries.Put(q)
	if panicked != nil {
		panic(panicked)
	}
	return found, tooLong(err)
}

// tooLong gives the error of a query that was ended at its deadline the code errs.Unavailable.
func tooLong(err error) error {
	if errors.Is(err, sqlite.ErrDeadline) || errors.Is(err, context.DeadlineExceeded) {
		return fmt.Errorf("%w: %w", errs.New(errs.Unavailable, "the query took too long and was ended; ask for less, or try again"), err)
	}
	return err
}

func serve(conn *sqlite.Conn, requests <-chan *query) {
	defer conn.Close()
	for q := range requests {
		q.run(conn)
		q.done <- struct{}{}
	}
}

func (q *query) run(conn *sqlite.Conn) {
	defer func() {
		if p := recover(); p != nil {
			q.panicked = fmt.Sprintf("%v\n%s", p, debug.Stack())
		}
	}()
	conn.EndAt(q.ctx, q.deadline)
	defer conn.EndAt(context.Background(), time.Time{})
	if q.row == nil {
		q.found, q.err = conn.First(q.text, q.args, q.dest)
	} else {
		q.err = conn.Each(q.text, q.args, q.row)
	}
}
