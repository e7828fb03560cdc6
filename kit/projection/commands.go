package projection

import (
	"context"

	"lonja/kit/eventlog"
	"lonja/kit/streams"
)

// rememberCommand writes which command caused an event. Only commands have a hash of their body.
func (d *Definition) rememberCommand(tx *Tx, r eventlog.Record) error {
	if !d.Commands || r.RequestHash == "" || streams.BaseOf(r.Stream) != d.Reads[0].Stream {
		return nil
	}
	return tx.Exec(`INSERT INTO wishes (id, sequence, entity) VALUES (?, ?, ?)`,
		eventlog.CompactID(r.Causation), int64(r.Number), r.Event.EntityID())
}

// CommandEntity returns the entity whose event the command with this id caused first, or "" when
// the view knows of none. It needs Definition.Commands. A view that lags does not know the
// latest commands; the stream's own duplicate window covers those. Errors are those of Get.
func (v *View) CommandEntity(ctx context.Context, commandID string) (entity string, err error) {
	// Rows of an earlier version, which serve until they are rebuilt, have ids as text. The key's
	// order makes the first event the first row.
	_, err = v.Get(ctx, `SELECT entity FROM wishes WHERE id IN (?, ?) LIMIT 1`, []any{eventlog.CompactID(commandID), commandID}, &entity)
	return entity, err
}

// CommandEvent returns the sequence of the event of an entity that the command with an id
// caused on a stream, which is the view's first or a partition of it; 0 when the rows have none. Through is how far the rows go,
// as in GetThrough, whose errors it returns. It needs Definition.Commands.
func (v *View) CommandEvent(ctx context.Context, stream, entity, commandID string, least uint64) (event, through uint64, err error) {
	var number uint64
	through, _, err = v.GetThrough(ctx, stream, least,
		`SELECT sequence FROM wishes WHERE id = ? AND entity = ? ORDER BY sequence DESC LIMIT 1`,
		[]any{eventlog.CompactID(commandID), entity}, &number)
	return v.Place(v.def.Reads[0].Stream, number).Sequence, through, err
}

// GetThrough is Get for a decision that must know how old the rows are. It waits until they
// include every event of a stream up to the sequence least, or until ctx ends or the view has
// failed, and then answers from the rows that there are. Through is the sequence up to which they
// include the stream's events; 0 when the view has no rows of the present definition, and then
// nothing is found. Errors are those of a query that fails.
func (v *View) GetThrough(ctx context.Context, stream string, least uint64, query string, args []any, dest ...any) (through uint64, found bool, err error) {
	_ = v.Await(ctx, Token{stream: least}) // through tells whether it was in vain
	db, err := v.acquire()
	if err != nil {
		return 0, false, nil
	}
	defer db.queries.Done()
	if !db.current {
		return 0, false, nil
	}
	through = db.reached(stream) // before the query, which may see more
	found, err = db.do(context.WithoutCancel(ctx), v.config.QueryTime, query, args, dest, nil)
	if err != nil {
		return 0, false, v.queryError(db, err)
	}
	return through, found, nil
}

// reached returns the sequence up to which the rows include a stream's events.
func (d *database) reached(stream string) uint64 {
	for _, c := range d.consumers {
		if c.source.Stream == stream {
			return c.position.Load()
		}
	}
	return 0
}
