package projection

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"time"
)

// What a statement of Tx.Erase deletes or overwrites has to leave the disk, too. SQLite's
// secure_delete, which is on for every connection that writes, overwrites it with zeros in
// the page that the row is in. Two kinds of copies are left:
//
//   - When a page splits, SQLite moves rows to another page and leaves a copy of them in
//     the unused middle of the old one. scrub overwrites these middles.
//   - The -wal file holds earlier versions of pages until it is truncated.
//
// Both are removed in the background after the commit. The transaction marks the file with
// eraseMark, so a process that opens it after a crash knows that there is something left.
// A database that is being built has no -wal; finish scrubs it.

// eraseMark is the application_id of a database that has to be scrubbed. Otherwise that is 0.
const eraseMark = 0x65726173

// erasePause is the least time between two attempts to remove what was erased. A burst of
// erasures costs one attempt a second, and so does a reader that holds the -wal back.
const erasePause = time.Second

// eraseWarning is after how long a reader that holds the -wal back is worth a warning.
const eraseWarning = 30 * time.Second

// Erase is Exec for a statement whose deleted and overwritten content must not stay on the
// disk, such as what identifies a person. It is removed from the view's file and its -wal
// within seconds of the commit, or when the queries that were running then have ended, or
// after the next start. What Exec deletes may stay there as long as the file exists.
//
// The blocks that a file system frees when a file shrinks are outside of this, and so is
// the index of an FTS5 table, unless its own option secure-delete is on.
func (tx *Tx) Erase(query string, args ...any) error {
	tx.erased = true
	return tx.Exec(query, args...)
}

// markErased marks the file in the transaction, before its commit.
func (tx *Tx) markErased() error {
	if !tx.erased {
		return nil
	}
	return tx.Exec(fmt.Sprintf("PRAGMA application_id = %d", eraseMark))
}

// wakeEraser makes removeErasedContent look at the serving database.
func (v *View) wakeEraser() {
	select {
	case v.erased <- struct{}{}:
	default:
	}
}

// removeErasedContent removes what transactions of the serving database erased, until ctx
// ends.
func (v *View) removeErasedContent(ctx context.Context) {
	for {
		select {
		case <-v.erased:
			v.removeUntilDone(ctx)
		case <-ctx.Done():
			return
		}
	}
}

// removeUntilDone tries until nothing is left, or ctx ends. The pause after each attempt
// keeps erasures from taking more than a tenth of the time.
func (v *View) removeUntilDone(ctx context.Context) {
	warn := time.Now().Add(eraseWarning)
	for left := true; left; {
		began := time.Now()
		err := v.removeErased()
		if left = err != nil; left && began.After(warn) {
			warn = began.Add(eraseWarning)
			v.config.Logger.Warn("what a view erased is still on the disk; long queries may hold it back", "view", v.def.Name, "reason", err)
		}
		select {
		case <-time.After(max(erasePause, 10*time.Since(began))):
		case <-ctx.Done():
			return
		}
	}
}

// removeErased tries once. It returns nil when nothing is left to remove from the serving
// database, or there is none; the next one is built without.
func (v *View) removeErased() error {
	db, err := v.acquire()
	if err != nil {
		return nil
	}
	defer db.queries.Done()
	if !db.erasing.Load() {
		return nil
	}
	err = db.removeErased()
	if isDamaged(err) {
		v.retire(db, err)
		return nil
	}
	return err
}

// errHeldBack reports that a reader needs the -wal file.
var errHeldBack = errors.New("the -wal file is in use")

// removeErased scrubs the database if it is marked, and truncates the -wal. The error is
// errHeldBack while a reader needs an older version of a page.
func (d *database) removeErased() error {
	d.write.Lock()
	defer d.write.Unlock()
	if err := d.scrub(); err != nil {
		return err
	}
	if err := d.checkpoint(); err != nil {
		return err
	}
	d.erasing.Store(false)
	return nil
}

// scrub overwrites the unused middles of all pages, unless the database is not marked. It
// takes about 3 ms a megabyte, during which the rows do not follow the streams.
func (d *database) scrub() (err error) {
	var mark int
	if _, err := d.conn.First("PRAGMA application_id", nil, []any{&mark}); err != nil || mark != eraseMark {
		return err
	}
	if err := d.conn.Exec("BEGIN IMMEDIATE"); err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, d.conn.Exec("ROLLBACK"))
		}
	}()
	pages, err := d.pagesToScrub()
	if err != nil {
		return err
	}
	for _, number := range pages {
		if err := d.scrubPage(number); err != nil {
			return err
		}
	}
	return d.conn.Script("PRAGMA application_id = 0; COMMIT")
}

// pagesToScrub returns the numbers of the b-tree pages whose unused middle is not empty.
func (d *database) pagesToScrub() (numbers []int64, err error) {
	err = d.conn.Each(`SELECT s.pageno, p.data FROM dbstat s JOIN sqlite_dbpage p ON p.pgno = s.pageno
		WHERE s.pagetype IN ('leaf', 'internal')`, nil, func(scan func(...any) error) error {
		var number int64
		var page []byte
		if err := scan(&number, &page); err != nil {
			return err
		}
		unused, err := unusedMiddle(number, page)
		if len(bytes.TrimLeft(unused, "\x00")) > 0 {
			numbers = append(numbers, number)
		}
		return err
	})
	return numbers, err
}

func (d *database) scrubPage(number int64) error {
	var page []byte
	if _, err := d.conn.First("SELECT data FROM sqlite_dbpage WHERE pgno = ?", []any{number}, []any{&page}); err != nil {
		return err
	}
	unused, err := unusedMiddle(number, page)
	if err != nil {
		return err
	}
	clear(unused)
	return d.conn.Exec("UPDATE sqlite_dbpage SET data = ? WHERE pgno = ?", page, number)
}

// unusedMiddle returns the part of a b-tree page between the pointers to its cells and the
// first cell, as the SQLite file format has it. A page without one is damaged.
func unusedMiddle(number int64, page []byte) ([]byte, error) {
	header := 0
	if number == 1 {
		header = 100 // of the file
	}
	if len(page) < 512 {
		return nil, fmt.Errorf("%w: page %d has %d bytes", errDamaged, number, len(page))
	}
	size := 8
	if kind := page[header]; kind == 2 || kind == 5 { // internal
		size = 12
	}
	cells := int(binary.BigEndian.Uint16(page[header+3:]))
	first := int(binary.BigEndian.Uint16(page[header+5:]))
	if first == 0 {
		first = 1 << 16
	}
	end := header + size + 2*cells
	if end > first || first > len(page) {
		return nil, fmt.Errorf("%w: page %d has %d cells, the first at %d", errDamaged, number, cells, first)
	}
	return page[end:first], nil
}

// checkpoint moves the -wal into the file and truncates it. It does not wait long for
// readers; the error is errHeldBack when one needs an older version of a page.
func (d *database) checkpoint() error {
	if err := d.conn.Script("PRAGMA busy_timeout = 100"); err != nil {
		return err
	}
	var busy, pages, moved int
	_, err := d.conn.First("PRAGMA wal_checkpoint(TRUNCATE)", nil, []any{&busy, &pages, &moved})
	if err == nil && busy != 0 {
		err = errHeldBack
	}
	return errors.Join(err, d.conn.Script("PRAGMA busy_timeout = 5000"))
}
