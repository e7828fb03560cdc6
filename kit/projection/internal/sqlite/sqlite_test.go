package sqlite_test

import (
	"bytes"
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"math"
	"net/url"
	"path/filepath"
	"strings"
	"testing"
	"time"

	_ "modernc.org/sqlite" // the driver, which must read what is written here

	"lonja/kit/projection/internal/sqlite"
)

func open(t *testing.T) (*sqlite.Conn, string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "a file: with #1?.db")
	conn, err := sqlite.Open(path, sqlite.Create, "journal_mode = WAL")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := conn.Close(); err != nil {
			t.Error(err)
		}
	})
	return conn, path
}

type (
	id    string
	count uint16
	raw   []byte
)

// valuer is what database/sql stores as something else than what it is.
type valuer string

func (v valuer) Value() (driver.Value, error) { return "other", nil }

func TestConn_StoresWhatDatabaseSQLReads(t *testing.T) {
	conn, path := open(t)
	if err := conn.Script("CREATE TABLE t (n INTEGER PRIMARY KEY, v); -- a comment\n;"); err != nil {
		t.Fatal(err)
	}
	text := "text"
	values := []struct{ stored, want any }{
		{nil, nil}, {int(-3), int64(-3)}, {int64(math.MinInt64), int64(math.MinInt64)}, {uint64(7), int64(7)}, {int32(-4), int64(-4)}, {uint32(5), int64(5)},
		{true, int64(1)}, {false, int64(0)}, {1.5, 1.5}, {float32(0.5), 0.5}, {"", ""}, {"ñ\x00b", "ñ\x00b"}, {strings.Repeat("x", 100_000), strings.Repeat("x", 100_000)},
		{[]byte("blob"), []byte("blob")}, {[]byte(nil), nil}, {id("i"), "i"}, {count(9), int64(9)}, {raw("r"), []byte("r")}, {&text, "text"}, {(*string)(nil), nil},
	}
	for n, v := range values {
		if err := conn.Exec("INSERT INTO t (n, v) VALUES (?, ?)", n, v.stored); err != nil {
			t.Fatal(err)
		}
	}
	db, err := sql.Open("sqlite", "file:"+(&url.URL{Path: path}).EscapedPath())
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	for n, v := range values {
		var got, own any
		if err := db.QueryRow("SELECT v FROM t WHERE n = ?", n).Scan(&got); err != nil {
			t.Fatal(err)
		}
		if found, err := conn.First("SELECT v FROM t WHERE n = ?", []any{n}, []any{&own}); !found || err != nil {
			t.Fatal(found, err)
		}
		if !same(got, v.want) || !same(own, v.want) {
			t.Errorf("%T %.20v is read as %.20v, and as %.20v by this package; want %.20v", v.stored, v.stored, got, own, v.want)
		}
	}
	var kind string
	if _, err := conn.First("SELECT typeof(?)", []any{[]byte{}}, []any{&kind}); err != nil || kind != "blob" {
		t.Errorf("an empty blob is stored as %s (%v)", kind, err)
	}
}

func same(a, b any) bool {
	if x, is := a.([]byte); is {
		y, is := b.([]byte)
		return is && bytes.Equal(x, y)
	}
	return a == b
}

func TestConn_RejectsArguments(t *testing.T) {
	conn, _ := open(t)
	for _, args := range [][]any{{}, {1, 2}, {uint64(math.MaxUint64)}, {struct{}{}}, {valuer("v")}, {time.Now()}, {[]int{1}}} {
		var v any
		if _, err := conn.First("SELECT ?", args, []any{&v}); err == nil {
			t.Errorf("%v is accepted, and read as %v", args, v)
		}
	}
}

func TestConn_Scans(t *testing.T) {
	conn, _ := open(t)
	var (
		i     id
		u     uint64
		small int8
		f     float64
		b     bool
		blob  []byte
		named raw
		p     *int
		null  sql.NullString
		s     string
	)
	found, err := conn.First("SELECT 'id', 7, '-8', 2, 1, 'text', x'00ff', 3, NULL, 12", nil, []any{&i, &u, &small, &f, &b, &blob, &named, &p, &null, &s})
	if !found || err != nil {
		t.Fatal(found, err)
	}
	if i != "id" || u != 7 || small != -8 || f != 2 || !b || string(blob) != "text" || string(named) != "\x00\xff" || p == nil || *p != 3 || null.Valid || s != "12" {
		t.Error(i, u, small, f, b, blob, named, p, null, s)
	}
	if _, err := conn.First("SELECT NULL, NULL", nil, []any{&blob, &p}); err != nil || blob != nil || p != nil {
		t.Error("NULL is read as", blob, p, err)
	}
	for query, dest := range map[string][]any{
		"SELECT NULL": {&s}, "SELECT 300": {&small}, "SELECT -1": {&u}, "SELECT 'x'": {&f}, "SELECT 1": {s}, "SELECT 1, 2": {&s}, "SELECT 2": {new(struct{})},
	} {
		if _, err := conn.First(query, nil, dest); err == nil {
			t.Errorf("%s fits into %T", query, dest[0])
		}
	}
	if found, err := conn.First("SELECT 1 WHERE 0", nil, []any{&s}); found || err != nil {
		t.Error(found, err)
	}
}

// A statement that failed, or whose rows were not all read, can be used again.
func TestConn_StatementsCanBeUsedAgain(t *testing.T) {
	conn, _ := open(t)
	if err := conn.Script("CREATE TABLE t (n INTEGER PRIMARY KEY)"); err != nil {
		t.Fatal(err)
	}
	const insert = "INSERT INTO t (n) VALUES (?)"
	for _, n := range []int{1, 2, 2, 3} {
		err := conn.Exec(insert, n)
		var of *sqlite.Error
		if n == 2 && errors.As(err, &of) {
			if of.Code()&0xff != 19 || !strings.Contains(err.Error(), insert) {
				t.Errorf("%v has code %d", err, of.Code())
			}
		} else if err != nil {
			t.Fatal(err)
		}
	}
	enough := errors.New("enough")
	for range 2 {
		var seen []int
		err := conn.Each("SELECT n FROM t WHERE n > ? ORDER BY n", []any{0}, func(scan func(...any) error) error {
			var n int
			if err := scan(&n); err != nil {
				return err
			}
			if seen = append(seen, n); n == 2 {
				return enough
			}
			return nil
		})
		if err != enough || len(seen) != 2 {
			t.Error(seen, err)
		}
	}
	for _, query := range []string{"", "-- nothing", "SELECT 1; SELECT 2", "SELECT", "SELECT * FROM missing"} {
		if err := conn.Exec(query); err == nil {
			t.Errorf("%q runs", query)
		}
	}
}

func TestConn_ReadOnlyCannotWrite(t *testing.T) {
	conn, path := open(t)
	if err := conn.Script("CREATE TABLE t (n)"); err != nil {
		t.Fatal(err)
	}
	reader, err := sqlite.Open(path, sqlite.ReadOnly)
	if err != nil {
		t.Fatal(err)
	}
	if err := reader.Exec("INSERT INTO t VALUES (1)"); err == nil {
		t.Error("a connection for queries writes")
	}
	if err := reader.Close(); err != nil {
		t.Error(err)
	}
	for _, mode := range []sqlite.Mode{sqlite.ReadOnly, sqlite.Write} {
		if _, err := sqlite.Open(path+"-missing", mode); err == nil {
			t.Error("a file that is missing is created")
		}
	}
}

// endless runs for hours.
const endless = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 1000000000000) SELECT max(i) FROM n"

func TestConn_EndsAt(t *testing.T) {
	conn, _ := open(t)
	var n int
	conn.EndAt(t.Context(), time.Now().Add(10*time.Millisecond))
	if _, err := conn.First(endless, nil, []any{&n}); !errors.Is(err, sqlite.ErrDeadline) {
		t.Errorf("at the deadline: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	conn.EndAt(ctx, time.Time{})
	time.AfterFunc(10*time.Millisecond, cancel)
	if err := conn.Each(endless, nil, func(func(...any) error) error { return nil }); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
	conn.EndAt(context.Background(), time.Time{})
	if _, err := conn.First("SELECT 3", nil, []any{&n}); err != nil || n != 3 {
		t.Errorf("the next query reads %d: %v", n, err)
	}
}
