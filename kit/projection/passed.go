package projection

import (
	"context"
	"errors"
	"fmt"

	"github.com/nats-io/nats.go/jetstream"

	"lonja/kit/eventlog"
)

// While a shop is upgraded, a replica of the old version may meet events of types
// that only the new one knows. It passes over them, as over whatever is no event,
// and its file remembers: when the replica is upgraded, too, the rows are made
// anew, or they would lack those events for ever.

// passOver remembers a message that is no event.
func passOver(tx *Tx, r eventlog.Record) error {
	return tx.Exec(`INSERT OR IGNORE INTO passed (stream, sequence, type) VALUES (?, ?, ?)`, r.Stream, r.Sequence, r.Type)
}

// mostTypes bounds how many types are looked at: poison may bear any.
const mostTypes = 1000

// learned reports whether something that was passed over is an event by now. It
// looks at the latest of each type.
func (f *file) learned(ctx context.Context) (bool, error) {
	if !f.current {
		return false, nil // it is made anew anyway, and may have no such table
	}
	latest, err := f.passed(ctx)
	if err != nil {
		return false, err
	}
	for _, at := range latest {
		r, err := f.config.Log.At(ctx, at.stream, at.sequence)
		if errors.Is(err, jetstream.ErrMsgNotFound) {
			continue
		}
		if err != nil {
			return false, fmt.Errorf("look again at what was passed over: %w", err)
		}
		if r.Event != nil {
			f.config.Logger.Warn("a view was made by a program that did not know all facts, and is made anew",
				"view", f.def.Name, "stream", at.stream, "sequence", at.sequence, "type", r.Type)
			return true, nil
		}
	}
	return false, nil
}

// place is that of a message.
type place struct {
	stream   string
	sequence uint64
}

func (f *file) passed(ctx context.Context) (latest []place, err error) {
	rows, err := f.conn.QueryContext(ctx, `SELECT stream, max(sequence) FROM passed GROUP BY stream, type ORDER BY 2 DESC LIMIT ?`, mostTypes)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var p place
		if err := rows.Scan(&p.stream, &p.sequence); err != nil {
			return nil, err
		}
		latest = append(latest, p)
	}
	return latest, rows.Err()
}
