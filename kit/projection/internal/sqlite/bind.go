package sqlite

import (
	"database/sql/driver"
	"fmt"
	"math"
	"reflect"
	"unsafe"

	sqlite3 "modernc.org/sqlite/lib"
)

// bind binds arguments: nil, integers, floats, booleans (as 0 and 1), texts, byte slices (nil is
// NULL), and other types that are made of these, or point to one.
//
// Texts and blobs are copied into the connection's buffer, where they stay until the next query.
// SQLite reads them there, and not again before all are bound anew.
func (c *Conn) bind(s *stmt, args []any) error {
	if len(args) != s.params {
		return fmt.Errorf("sqlite: %d arguments instead of %d", len(args), s.params)
	}
	size := 1 // a blob that is empty needs an address, or it would be NULL
	for _, a := range args {
		switch v := a.(type) {
		case string:
			size += len(v)
		case []byte:
			size += len(v)
		case nil, int, int64, uint64, int32, uint32, bool, float64:
		default:
			return c.bindOthers(s, args)
		}
	}
	if err := c.reserve(size); err != nil {
		return err
	}
	free := c.buffer
	for i, a := range args {
		if err := c.bindOne(s.handle, int32(i+1), a, &free); err != nil {
			return err
		}
	}
	return nil
}

// bindOthers is bind for arguments of which some are of other types.
func (c *Conn) bindOthers(s *stmt, args []any) error {
	basic := make([]any, len(args))
	for i, a := range args {
		var err error
		if basic[i], err = toBasic(a); err != nil {
			return fmt.Errorf("sqlite: argument %d: %w", i+1, err)
		}
	}
	return c.bind(s, basic)
}

// bindOne binds an argument. Texts and blobs are copied to free, which then points behind them.
func (c *Conn) bindOne(handle uintptr, i int32, arg any, free *uintptr) error {
	var rc int32
	switch v := arg.(type) {
	case nil:
		rc = sqlite3.Xsqlite3_bind_null(c.tls, handle, i)
	case int:
		rc = sqlite3.Xsqlite3_bind_int64(c.tls, handle, i, int64(v))
	case int64:
		rc = sqlite3.Xsqlite3_bind_int64(c.tls, handle, i, v)
	case int32:
		rc = sqlite3.Xsqlite3_bind_int64(c.tls, handle, i, int64(v))
	case uint32:
		rc = sqlite3.Xsqlite3_bind_int64(c.tls, handle, i, int64(v))
	case uint64:
		if v > math.MaxInt64 {
			return fmt.Errorf("sqlite: argument %d: %d is too large for an SQLite integer", i, v)
		}
		rc = sqlite3.Xsqlite3_bind_int64(c.tls, handle, i, int64(v))
	case bool:
		n := int64(0)
		if v {
			n = 1
		}
		rc = sqlite3.Xsqlite3_bind_int64(c.tls, handle, i, n)
	case float64:
		rc = sqlite3.Xsqlite3_bind_double(c.tls, handle, i, v)
	case string:
		at := place(free, unsafe.Slice(unsafe.StringData(v), len(v)))
		rc = sqlite3.Xsqlite3_bind_text(c.tls, handle, i, at, int32(len(v)), 0)
	case []byte:
		if v == nil {
			rc = sqlite3.Xsqlite3_bind_null(c.tls, handle, i)
			break
		}
		rc = sqlite3.Xsqlite3_bind_blob(c.tls, handle, i, place(free, v), int32(len(v)), 0)
	}
	if rc != sqlite3.SQLITE_OK {
		return c.error(rc)
	}
	return nil
}

// place copies bytes to free and returns where they are.
func place(free *uintptr, b []byte) uintptr {
	at := *free
	copy(unsafe.Slice((*byte)(pointer(at)), len(b)), b)
	*free += uintptr(len(b))
	return at
}

// toBasic returns an argument as one of the types that bindOne knows.
func toBasic(arg any) (any, error) {
	if arg == nil {
		return nil, nil
	}
	if _, is := arg.(driver.Valuer); is {
		return nil, fmt.Errorf("a %T cannot be stored; give the value of its method Value", arg)
	}
	switch v := reflect.ValueOf(arg); v.Kind() {
	case reflect.Pointer:
		if v.IsNil() {
			return nil, nil
		}
		return toBasic(v.Elem().Interface())
	case reflect.String:
		return v.String(), nil
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		return v.Int(), nil
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return v.Uint(), nil
	case reflect.Float32, reflect.Float64:
		return v.Float(), nil
	case reflect.Bool:
		return v.Bool(), nil
	case reflect.Slice:
		if v.Type().Elem().Kind() == reflect.Uint8 {
			return v.Bytes(), nil
		}
	}
	return nil, fmt.Errorf("a %T cannot be stored; give a number, a text or bytes", arg)
}
