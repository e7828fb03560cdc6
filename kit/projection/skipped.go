package projection

import (
	"context"
	"errors"
	"fmt"

	"github.com/nats-io/nats.go/jetstream"

	"lonja/kit/eventlog"
)

// During an upgrade, a replica of the old version may meet events of types that only the
// new version can decode. It skips them, like any message that is not an event, and records
// their places. Once the replica is upgraded, its rows are rebuilt; otherwise they would
// lack those events forever.

// recordSkipped records a message that cannot be decoded as an event.
func recordSkipped(tx *Tx, r eventlog.Record) error {
	return tx.Exec(`INSERT OR IGNORE INTO passed (stream, sequence, type) VALUES (?, ?, ?)`, r.Stream, r.Sequence, r.Type)
}

// maxSkippedTypes bounds how many types are tried again, since a malformed message can name
// any type.
const maxSkippedTypes = 1000

// skippedKnownEvents reports whether this program can decode a message that was skipped. It
// tries the latest message of each type.
func (d *database) skippedKnownEvents(ctx context.Context) (bool, error) {
	if !d.current {
		return false, nil // it is rebuilt anyway, and may not have the table
	}
	latest, err := d.latestSkipped()
	if err != nil {
		return false, err
	}
	for _, at := range latest {
		r, err := d.config.Log.At(ctx, at.stream, at.sequence)
		if errors.Is(err, jetstream.ErrMsgNotFound) {
			continue
		}
		if err != nil {
			return false, fmt.Errorf("cannot read the skipped message %s:%d again: %w", at.stream, at.sequence, err)
		}
		if r.Event != nil || r.Unavailable {
			d.config.Logger.Warn("a view lacks events that an older program could not decode; it will be rebuilt",
				"view", d.def.Name, "stream", at.stream, "sequence", at.sequence, "type", r.Type)
			return true, nil
		}
	}
	return false, nil
}

// place is where a message is.
type place struct {
	stream   string
	sequence uint64
}

// latestSkipped returns the latest skipped message of each type and stream, newest first.
func (d *database) latestSkipped() (latest []place, err error) {
	err = d.conn.Each(`SELECT stream, max(sequence) FROM passed GROUP BY stream, type ORDER BY 2 DESC LIMIT ?`, []any{maxSkippedTypes},
		func(scan func(...any) error) error {
			var p place
			err := scan(&p.stream, &p.sequence)
			latest = append(latest, p)
			return err
		})
	return latest, err
}
