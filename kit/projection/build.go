package projection

import (
	"fmt"
	"strings"
)

// A database that is being built serves nobody and is thrown away when anything fails. So it has
// no journal, and one transaction from its first event until flush: SQLite then writes a page when
// it leaves the cache, and not after each batch of events, most of which have a page of their own.

// maxLateEvents is the number of events at which the indexes of a build wait no longer. SQLite sorts
// the rows of an index in memory, in about 40 bytes each.
const maxLateEvents = 2_000_000

// begin begins a transaction. That of a build may have begun.
func (d *database) begin() error {
	if d.building && d.begun {
		return nil
	}
	if err := d.conn.Exec("BEGIN IMMEDIATE"); err != nil {
		return err
	}
	d.begun = d.building
	return nil
}

// end commits a transaction with some more events; that of a build goes on.
func (d *database) end(events int) error {
	if !d.building {
		return d.conn.Exec("COMMIT")
	}
	if d.events.Load()+uint64(events) < maxLateEvents {
		return nil
	}
	return d.createIndexes()
}

// flush commits the transaction of a build, and creates the indexes that wait.
func (d *database) flush() error {
	d.write.Lock()
	defer d.write.Unlock()
	if err := d.createIndexes(); err != nil || !d.begun {
		return err
	}
	d.begun = false
	return d.conn.Exec("COMMIT")
}

// dropIndexes drops the indexes that no constraint needs until createIndexes.
func (d *database) dropIndexes() error {
	var names []string
	err := d.conn.Each("SELECT name, sql FROM sqlite_schema WHERE type = 'index' AND sql IS NOT NULL ORDER BY rowid", nil, func(scan func(...any) error) error {
		var name, text string
		if err := scan(&name, &text); err != nil || strings.HasPrefix(text, "CREATE UNIQUE") {
			return err
		}
		names, d.lateIndexes = append(names, name), append(d.lateIndexes, text)
		return nil
	})
	for _, name := range names {
		if err == nil {
			err = d.conn.Script(fmt.Sprintf("DROP INDEX %q", name))
		}
	}
	return err
}

func (d *database) createIndexes() error {
	for _, text := range d.lateIndexes {
		if err := d.conn.Script(text); err != nil {
			return err
		}
	}
	d.lateIndexes = nil
	return nil
}
