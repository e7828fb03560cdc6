// Package sqlite is a connection to an SQLite database without database/sql: it calls the
// library that modernc.org/sqlite translates to Go.
//
// A view's queries and projections are many and small, so what database/sql and its driver do
// around each of them costs more than SQLite's own work. They also cannot end a query at a
// deadline without a goroutine for each. A connection here asks its clock while SQLite works.
//
// Dates have no form of their own: bind and scan texts or integers.
package sqlite

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"
	"unsafe"

	"modernc.org/libc"
	"modernc.org/libc/sys/types"
	sqlite3 "modernc.org/sqlite/lib"
)

// Conn is a connection. It keeps each statement that it prepares until Close, so the texts of
// queries must be few. It must not be used concurrently, and a query must have ended before the
// next one begins.
type Conn struct {
	tls   *libc.TLS
	db    uintptr
	stmts map[string]*stmt

	buffer     uintptr // holds texts and blobs while they are bound
	bufferSize int

	// What ends the query that runs.
	ctx      context.Context
	deadline time.Time
}

// stmt is a prepared statement.
type stmt struct {
	handle  uintptr
	params  int
	columns int
}

// Mode says what a connection may do.
type Mode int

const (
	ReadOnly Mode = iota // query an existing file; with WAL, the -shm file is written nevertheless
	Write                // write an existing file, too
	Create               // create the file if there is none, too
)

// Open opens a database and runs the pragmas, each without the word PRAGMA. Close must be called
// when it returns nil as the error.
func Open(path string, mode Mode, pragmas ...string) (*Conn, error) {
	flags := int32(sqlite3.SQLITE_OPEN_READWRITE | sqlite3.SQLITE_OPEN_NOMUTEX)
	if mode == Create {
		flags |= sqlite3.SQLITE_OPEN_CREATE
	}
	c := &Conn{tls: libc.NewTLS(), stmts: map[string]*stmt{}, ctx: context.Background()}
	err := c.open(path, flags)
	for _, p := range pragmas {
		if err == nil {
			err = c.Script("PRAGMA " + p)
		}
	}
	if err == nil && mode == ReadOnly {
		err = c.Script("PRAGMA query_only = ON")
	}
	if err != nil {
		return nil, errors.Join(err, c.Close())
	}
	return c, nil
}

func (c *Conn) open(path string, flags int32) error {
	name, err := libc.CString(path)
	if err != nil {
		return err
	}
	defer libc.Xfree(c.tls, name)
	if err := c.reserve(int(unsafe.Sizeof(c.db))); err != nil {
		return err
	}
	rc := sqlite3.Xsqlite3_open_v2(c.tls, name, c.buffer, flags, 0)
	c.db = *(*uintptr)(pointer(c.buffer)) // there may be one in spite of an error
	if rc != sqlite3.SQLITE_OK {
		return c.error(rc)
	}
	sqlite3.Xsqlite3_extended_result_codes(c.tls, c.db, 1)
	connections.Store(c.db, c)
	sqlite3.Xsqlite3_progress_handler(c.tls, c.db, stepsBetweenChecks, isOverPointer(), c.db)
	return nil
}

// Close closes the connection and its statements.
func (c *Conn) Close() error {
	for _, s := range c.stmts {
		sqlite3.Xsqlite3_finalize(c.tls, s.handle)
	}
	c.stmts = nil
	var err error
	if c.db != 0 {
		connections.Delete(c.db)
		if rc := sqlite3.Xsqlite3_close_v2(c.tls, c.db); rc != sqlite3.SQLITE_OK {
			err = c.error(rc)
		}
		c.db = 0
	}
	libc.Xfree(c.tls, c.buffer)
	c.buffer, c.bufferSize = 0, 0
	c.tls.Close()
	return err
}

// stepsBetweenChecks is how many steps SQLite's machine takes between two looks at the clock:
// about a tenth of a millisecond of work.
const stepsBetweenChecks = 2000

// connections finds a connection by its handle, which is what SQLite passes to isOver.
var connections sync.Map // uintptr -> *Conn

// isOver is called by SQLite while a statement runs, in the goroutine that runs it. Anything but
// 0 ends the statement.
func isOver(_ *libc.TLS, db uintptr) int32 {
	c, ok := connections.Load(db)
	if ok && c.(*Conn).over() != nil {
		return 1
	}
	return 0
}

// isOverPointer returns isOver as the library calls a function: by the pointer that a function
// value is.
func isOverPointer() uintptr {
	return *(*uintptr)(unsafe.Pointer(&struct {
		f func(*libc.TLS, uintptr) int32
	}{isOver}))
}

// ErrDeadline means that a query was ended at the deadline that EndAt has set.
var ErrDeadline = errors.New("the query took too long")

// EndAt has later queries end at a deadline, with ErrDeadline, or when ctx ends, with its error.
// A zero deadline is none. A step of SQLite that counts a whole table or index,
// or sorts in memory, is not interrupted.
func (c *Conn) EndAt(ctx context.Context, deadline time.Time) { c.ctx, c.deadline = ctx, deadline }

func (c *Conn) over() error {
	if err := c.ctx.Err(); err != nil {
		return err
	}
	if !c.deadline.IsZero() && !time.Now().Before(c.deadline) {
		return ErrDeadline
	}
	return nil
}

// prepare returns the statement of a query, which it prepares once.
func (c *Conn) prepare(query string) (*stmt, error) {
	if s, ok := c.stmts[query]; ok {
		return s, nil
	}
	handle, rest, err := c.compile(query)
	if err != nil {
		return nil, fmt.Errorf("%w in: %s", err, query)
	}
	if handle == 0 || rest != "" {
		sqlite3.Xsqlite3_finalize(c.tls, handle)
		return nil, fmt.Errorf("sqlite: not a single statement: %s", query)
	}
	s := &stmt{handle: handle,
		params:  int(sqlite3.Xsqlite3_bind_parameter_count(c.tls, handle)),
		columns: int(sqlite3.Xsqlite3_column_count(c.tls, handle))}
	c.stmts[query] = s
	return s, nil
}

// compile prepares the first statement of a text and returns the text after it. The statement is
// 0 when there is none but a comment.
func (c *Conn) compile(text string) (handle uintptr, rest string, err error) {
	const pointers = 2 * unsafe.Sizeof(uintptr(0)) // for SQLite's answers, before the text
	if err := c.reserve(int(pointers) + len(text) + 1); err != nil {
		return 0, "", err
	}
	answers := (*[2]uintptr)(pointer(c.buffer))
	start := c.buffer + pointers
	copy(unsafe.Slice((*byte)(pointer(start)), len(text)+1), text+"\x00")
	if rc := sqlite3.Xsqlite3_prepare_v2(c.tls, c.db, start, int32(len(text)+1), c.buffer, c.buffer+pointers/2); rc != sqlite3.SQLITE_OK {
		return 0, "", c.error(rc)
	}
	return answers[0], text[min(len(text), int(answers[1]-start)):], nil
}

// Script runs the statements of a text one after the other. They take no arguments.
func (c *Conn) Script(text string) error {
	for text != "" {
		handle, rest, err := c.compile(text)
		if err == nil && handle != 0 {
			err = c.drain(handle)
			sqlite3.Xsqlite3_finalize(c.tls, handle)
		}
		if err != nil {
			return fmt.Errorf("%w in: %s", err, text)
		}
		text = rest
	}
	return nil
}

// drain runs a statement to its end.
func (c *Conn) drain(handle uintptr) error {
	for {
		switch rc := sqlite3.Xsqlite3_step(c.tls, handle); rc {
		case sqlite3.SQLITE_ROW:
		case sqlite3.SQLITE_DONE:
			return nil
		default:
			return c.stepError(rc)
		}
	}
}

// Exec runs a statement and ignores its rows. The errors of Exec, First and Each include the
// query's text.
func (c *Conn) Exec(query string, args ...any) error {
	s, err := c.start(query, args)
	if err != nil {
		return err
	}
	err = c.drain(s.handle)
	sqlite3.Xsqlite3_reset(c.tls, s.handle)
	if err != nil {
		return fmt.Errorf("%w in: %s", err, query)
	}
	return nil
}

// First scans the first row of a query into dest and reports whether there is one. A statement
// that writes has written everything by then.
func (c *Conn) First(query string, args, dest []any) (found bool, err error) {
	s, err := c.start(query, args)
	if err != nil {
		return false, err
	}
	defer sqlite3.Xsqlite3_reset(c.tls, s.handle)
	switch rc := sqlite3.Xsqlite3_step(c.tls, s.handle); rc {
	case sqlite3.SQLITE_ROW:
		err = c.scan(s, dest)
	case sqlite3.SQLITE_DONE:
		return false, nil
	default:
		err = c.stepError(rc)
	}
	if err != nil {
		return false, fmt.Errorf("%w in: %s", err, query)
	}
	return true, nil
}

// Each calls row for each row of a query; row reads the columns with scan. An error of row ends
// the query and is returned as it is.
func (c *Conn) Each(query string, args []any, row func(scan func(...any) error) error) error {
	s, err := c.start(query, args)
	if err != nil {
		return err
	}
	defer sqlite3.Xsqlite3_reset(c.tls, s.handle)
	scan := func(dest ...any) error { return c.scan(s, dest) }
	for {
		switch rc := sqlite3.Xsqlite3_step(c.tls, s.handle); rc {
		case sqlite3.SQLITE_ROW:
			if err := row(scan); err != nil {
				return err
			}
		case sqlite3.SQLITE_DONE:
			return nil
		default:
			return fmt.Errorf("%w in: %s", c.stepError(rc), query)
		}
	}
}

// start prepares a query and binds its arguments.
func (c *Conn) start(query string, args []any) (*stmt, error) {
	s, err := c.prepare(query)
	if err != nil {
		return nil, err
	}
	if err := c.bind(s, args); err != nil {
		return nil, fmt.Errorf("%w in: %s", err, query)
	}
	return s, nil
}

// reserve makes the buffer at least size bytes long. What it held is lost.
func (c *Conn) reserve(size int) error {
	if size <= c.bufferSize {
		return nil
	}
	libc.Xfree(c.tls, c.buffer)
	c.buffer, c.bufferSize = 0, 0
	size = max(size, 4096)
	p := libc.Xmalloc(c.tls, types.Size_t(size))
	if p == 0 {
		return &Error{sqlite3.SQLITE_NOMEM, fmt.Sprintf("no memory for %d bytes", size)}
	}
	c.buffer, c.bufferSize = p, size
	return nil
}

// pointer returns an address of the library's memory as a pointer. That memory is not Go's: it
// stays where it is until it is freed.
func pointer(address uintptr) unsafe.Pointer {
	return *(*unsafe.Pointer)(unsafe.Pointer(&address))
}
