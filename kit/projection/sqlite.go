package projection

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	sqlite3 "modernc.org/sqlite/lib"

	"lonja/kit/projection/internal/sqlite"
)

// The pragmas of the connections. A database that is being built can be discarded, so its
// connection neither calls fsync nor keeps a journal. What is deleted is overwritten
// with zeros (see Tx.Erase), and a statement that spills does so into memory, not into a file
// outside of the view's folder.
//
// cache_size bounds, in KiB, what each connection keeps of the file in memory. What it does not
// keep is read from the system's cache, in about a microsecond a page. A build writes all over its
// indexes, so it has more.
var (
	filePragmas   = []string{"busy_timeout = 5000", "foreign_keys = ON", "journal_mode = WAL", "synchronous = NORMAL"}
	erasing       = []string{"secure_delete = ON", "temp_store = MEMORY"}
	readerPragmas = append(slices.Clone(filePragmas), "cache_size = -1024")
	writerPragmas = slices.Concat(filePragmas, erasing, []string{"cache_size = -2048"})
	buildPragmas  = slices.Concat([]string{"busy_timeout = 5000", "foreign_keys = ON", "journal_mode = OFF", "synchronous = OFF",
		"cache_size = -32768"}, erasing)
)

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
// wraps errDamaged when it is inconsistent. ctx interrupts it.
func quickCheck(ctx context.Context, path string) (err error) {
	conn, err := sqlite.Open(path, sqlite.ReadOnly, readerPragmas...)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, conn.Close()) }()
	conn.EndAt(ctx, time.Time{})
	var result string
	if _, err := conn.First("PRAGMA quick_check(1)", nil, []any{&result}); err != nil {
		return err
	}
	if result != "ok" {
		return fmt.Errorf("%w: %s", errDamaged, result)
	}
	return nil
}
