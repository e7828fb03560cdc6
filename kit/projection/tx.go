package projection

import (
	"lonja/kit/eventlog"
	"lonja/kit/projection/internal/sqlite"
)

// Tx is the transaction in which a projection writes the rows of an event; one transaction
// may hold many events. Each statement is prepared once for as long as the database is
// open. The first error sticks: all later calls return it, and it fails the projection even
// if Project ignores it. A Tx must not be used after Project returns, nor concurrently.
type Tx struct {
	conn    *sqlite.Conn
	record  eventlog.Record // the event that is being projected
	changes []KeyChange
	erased  bool // a statement of Erase was run
	err     error
}

// KeyChange is a key that projections marked with Tx.MarkChanged, and the position of the
// last event that did so.
type KeyChange struct {
	Key      string
	Stream   string
	Sequence uint64
}

// MarkChanged wakes the watchers of a key once the transaction is committed; see View.Watch
// and Config.OnChange. It may be called several times with one key.
func (tx *Tx) MarkChanged(key string) {
	change := KeyChange{key, tx.record.Stream, tx.record.Sequence}
	if n := len(tx.changes); n > 0 && tx.changes[n-1].Key == key {
		tx.changes[n-1] = change
		return
	}
	tx.changes = append(tx.changes, change)
}

// Exec runs a statement and ignores its rows. Arguments are numbers, texts, byte slices and
// booleans, types made of these, pointers to them, and nil. The error includes the statement's
// text.
func (tx *Tx) Exec(query string, args ...any) error {
	if tx.err == nil {
		tx.err = tx.conn.Exec(query, args...)
	}
	return tx.err
}

// Get scans the first row of a query into dest and reports whether there is one. It sees
// the rows that the transaction has written so far. The error includes the query's text.
func (tx *Tx) Get(query string, args []any, dest ...any) (found bool, err error) {
	if tx.err == nil {
		found, tx.err = tx.conn.First(query, args, dest)
	}
	return found, tx.err
}
