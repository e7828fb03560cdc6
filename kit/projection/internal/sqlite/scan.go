package sqlite

import (
	"database/sql"
	"errors"
	"fmt"
	"reflect"
	"strconv"
	"unsafe"

	"modernc.org/libc"
	sqlite3 "modernc.org/sqlite/lib"
)

// scan stores the columns of the current row in the variables that dest points to. The rules are
// those of database/sql: a NULL needs a pointer, a byte slice, an any or a sql.Scanner; a text
// that is a number fits into a number. Nothing that is stored belongs to SQLite.
func (c *Conn) scan(s *stmt, dest []any) error {
	if len(dest) != s.columns {
		return fmt.Errorf("sqlite: %d variables for %d columns", len(dest), s.columns)
	}
	for i, d := range dest {
		if err := c.scanColumn(s.handle, int32(i), d); err != nil {
			name := sqlite3.Xsqlite3_column_name(c.tls, s.handle, int32(i))
			return fmt.Errorf("sqlite: column %d (%s): %w", i+1, libc.GoString(name), err)
		}
	}
	return nil
}

var errNull = errors.New("it is NULL, which the variable cannot hold")

// scanColumn handles the usual cases itself and leaves the others to store.
func (c *Conn) scanColumn(handle uintptr, i int32, dest any) error {
	kind := sqlite3.Xsqlite3_column_type(c.tls, handle, i)
	switch d := dest.(type) {
	case *string:
		if kind == sqlite3.SQLITE_TEXT {
			*d = string(c.bytes(handle, i))
			return nil
		}
	case *[]byte:
		switch kind {
		case sqlite3.SQLITE_NULL:
			*d = nil
			return nil
		case sqlite3.SQLITE_TEXT, sqlite3.SQLITE_BLOB:
			*d = append([]byte{}, c.bytes(handle, i)...)
			return nil
		}
	case *int64:
		if kind == sqlite3.SQLITE_INTEGER {
			*d = sqlite3.Xsqlite3_column_int64(c.tls, handle, i)
			return nil
		}
	case *int:
		if kind == sqlite3.SQLITE_INTEGER {
			*d = int(sqlite3.Xsqlite3_column_int64(c.tls, handle, i))
			return nil
		}
	}
	return store(dest, c.value(handle, i, kind))
}

// bytes returns a text or blob. It belongs to SQLite until the next step.
func (c *Conn) bytes(handle uintptr, i int32) []byte {
	p := sqlite3.Xsqlite3_column_blob(c.tls, handle, i)
	n := sqlite3.Xsqlite3_column_bytes(c.tls, handle, i)
	if p == 0 {
		return nil
	}
	return unsafe.Slice((*byte)(pointer(p)), n)
}

// value returns a column as a nil, int64, float64, string or []byte.
func (c *Conn) value(handle uintptr, i, kind int32) any {
	switch kind {
	case sqlite3.SQLITE_INTEGER:
		return sqlite3.Xsqlite3_column_int64(c.tls, handle, i)
	case sqlite3.SQLITE_FLOAT:
		return sqlite3.Xsqlite3_column_double(c.tls, handle, i)
	case sqlite3.SQLITE_TEXT:
		return string(c.bytes(handle, i))
	case sqlite3.SQLITE_BLOB:
		return append([]byte{}, c.bytes(handle, i)...)
	}
	return nil
}

// store stores a value of a column in the variable that dest points to.
func store(dest, value any) error {
	if s, is := dest.(sql.Scanner); is {
		return s.Scan(value)
	}
	to := reflect.ValueOf(dest)
	if to.Kind() != reflect.Pointer || to.IsNil() {
		return fmt.Errorf("a %T is not a pointer to a variable", dest)
	}
	to = to.Elem()
	if value == nil {
		switch to.Kind() {
		case reflect.Pointer, reflect.Slice, reflect.Interface:
			to.SetZero()
			return nil
		}
		return errNull
	}
	switch to.Kind() {
	case reflect.Interface:
		if to.NumMethod() == 0 {
			to.Set(reflect.ValueOf(value))
			return nil
		}
	case reflect.Pointer:
		to.Set(reflect.New(to.Type().Elem()))
		return store(to.Interface(), value)
	case reflect.String:
		to.SetString(asText(value))
		return nil
	case reflect.Slice:
		if to.Type().Elem().Kind() == reflect.Uint8 {
			to.SetBytes([]byte(asText(value)))
			return nil
		}
	default:
		return storeNumber(to, asText(value))
	}
	return fmt.Errorf("a %s cannot hold a value of a column", to.Type())
}

// storeNumber stores a number, or a boolean, from its text.
func storeNumber(to reflect.Value, text string) error {
	failed := func(err error) error {
		return fmt.Errorf("%q does not fit into a variable of type %s: %w", text, to.Type(), err)
	}
	switch to.Kind() {
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		n, err := strconv.ParseInt(text, 10, to.Type().Bits())
		if err != nil {
			return failed(err)
		}
		to.SetInt(n)
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		n, err := strconv.ParseUint(text, 10, to.Type().Bits())
		if err != nil {
			return failed(err)
		}
		to.SetUint(n)
	case reflect.Float32, reflect.Float64:
		n, err := strconv.ParseFloat(text, to.Type().Bits())
		if err != nil {
			return failed(err)
		}
		to.SetFloat(n)
	case reflect.Bool:
		b, err := strconv.ParseBool(text)
		if err != nil {
			return failed(err)
		}
		to.SetBool(b)
	default:
		return fmt.Errorf("a %s cannot hold a value of a column", to.Type())
	}
	return nil
}

func asText(value any) string {
	switch v := value.(type) {
	case string:
		return v
	case []byte:
		return string(v)
	case int64:
		return strconv.FormatInt(v, 10)
	case float64:
		return strconv.FormatFloat(v, 'g', -1, 64)
	}
	return ""
}
