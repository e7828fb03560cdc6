package sqlite

import (
	"fmt"

	"modernc.org/libc"
	sqlite3 "modernc.org/sqlite/lib"
)

// Error is an error that SQLite reports.
type Error struct {
	code int // SQLite's extended result code
	text string
}

func (e *Error) Error() string { return e.text }

// Code returns SQLite's extended result code. Its lowest byte is the primary one.
func (e *Error) Code() int { return e.code }

// error describes a result code of a call that has just failed.
func (c *Conn) error(rc int32) error {
	text := libc.GoString(sqlite3.Xsqlite3_errstr(c.tls, rc))
	if c.db != 0 {
		if detail := libc.GoString(sqlite3.Xsqlite3_errmsg(c.tls, c.db)); detail != text {
			text += ": " + detail
		}
	}
	return &Error{int(rc), fmt.Sprintf("%s (%d)", text, rc)}
}

// stepError is error for a step, which the deadline or ctx may have ended.
func (c *Conn) stepError(rc int32) error {
	if rc&0xff == sqlite3.SQLITE_INTERRUPT {
		if err := c.over(); err != nil {
			return err
		}
	}
	return c.error(rc)
}
