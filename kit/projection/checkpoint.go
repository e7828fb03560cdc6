package projection

import (
	"context"
	"errors"
	"fmt"
	"hash/crc32"
	"slices"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// checkpoint is how far on a stream a file's rows stand.
type checkpoint struct {
	stream   string
	created  string // when the stream was
	sequence uint64 // of the last event in the rows
	event    string // its id
}

func (c checkpoint) sum() uint32 {
	return crc32.ChecksumIEEE(fmt.Appendf(nil, "%s\n%s\n%d\n%s", c.stream, c.created, c.sequence, c.event))
}

func note(tx *Tx, c checkpoint) error {
	return tx.Exec(`INSERT INTO checkpoint (stream, created, sequence, event, sum) VALUES (?, ?, ?, ?, ?)
		ON CONFLICT (stream) DO UPDATE SET created = excluded.created, sequence = excluded.sequence, event = excluded.event, sum = excluded.sum`,
		c.stream, c.created, c.sequence, c.event, c.sum())
}

// checkpoints are a file's by stream.
func (f *file) checkpoints(ctx context.Context) (map[string]checkpoint, error) {
	rows, err := f.conn.QueryContext(ctx, "SELECT stream, created, sequence, event, sum FROM checkpoint")
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	stands := map[string]checkpoint{}
	for rows.Next() {
		var c checkpoint
		var sum uint32
		if err := rows.Scan(&c.stream, &c.created, &c.sequence, &c.event, &sum); err != nil || sum != c.sum() {
			return nil, fmt.Errorf("%w: its checkpoint cannot be read (%v)", errDamaged, err)
		}
		stands[c.stream] = c
	}
	return stands, rows.Err()
}

// ErrLost means that the log does not hold what the rows were made of. Nothing
// heals that by itself.
var ErrLost = errors.New("facts may be lost")

// standAt begins at a checkpoint, which is zero when there is none, and makes
// sure of the log.
func (f *feed) standAt(ctx context.Context, c checkpoint) error {
	f.sequence, f.event = c.sequence, c.event
	if f.created = c.created; c.sequence == 0 {
		f.created = ""
	}
	if err := f.verify(ctx); err != nil {
		return err
	}
	f.reach(f.sequence)
	return nil
}

// outvoted is how long a server that stood still may take itself for a stream's
// leader although the others have chosen another one: NATS looks every ten
// seconds whether a leader has heard of the others for ten seconds.
const outvoted = 20 * time.Second

// verify makes sure that the stream is the one that the rows were made of and
// holds at least as much. Of a stream on several servers one may answer that does
// not know what the others have recorded; so events are lost only when a leader
// says so, for longer than it could be one by mistake.
func (f *feed) verify(ctx context.Context) error {
	stream, err := f.file.config.JetStream.Stream(ctx, f.source.Stream)
	if err != nil {
		return fmt.Errorf("stream %s: %w", f.source.Stream, err)
	}
	for began, info := time.Now(), stream.CachedInfo(); ; {
		if info.Cluster != nil && info.Cluster.Leader == "" {
			return fmt.Errorf("stream %s has no leader now", f.source.Stream)
		}
		err := f.compare(ctx, info)
		if !errors.Is(err, ErrLost) || info.Config.Replicas == 1 || time.Since(began) > outvoted {
			return err
		}
		f.file.config.Logger.Warn("a stream seems to have lost facts and is looked at again", "view", f.file.def.Name, "reason", err)
		select {
		case <-time.After(time.Second):
		case <-ctx.Done():
			return ctx.Err()
		}
		if info, err = stream.Info(ctx); err != nil {
			return fmt.Errorf("stream %s: %w", f.source.Stream, err)
		}
	}
}

// compare compares the stream with the checkpoint, if there is one yet.
func (f *feed) compare(ctx context.Context, info *jetstream.StreamInfo) error {
	name := info.Config.Name
	created := info.Created.UTC().Format(time.RFC3339Nano)
	f.partial.Store(!slices.Equal(slices.Sorted(slices.Values(info.Config.Subjects)), slices.Sorted(slices.Values(f.source.Subjects))))
	if f.sequence == 0 {
		f.created = created
		return nil
	}
	if created != f.created {
		return fmt.Errorf("stream %s is another one than the view was made of (created %s, not %s): %w; restore the stream, or delete the view's file if this is meant",
			name, created, f.created, ErrLost)
	}
	if last := info.State.LastSeq; last < f.sequence {
		return fmt.Errorf("stream %s ends at %d, before the view's checkpoint %d: %w; restore the stream", name, last, f.sequence, ErrLost)
	}
	at, err := f.file.config.Log.At(ctx, name, f.sequence)
	if errors.Is(err, jetstream.ErrMsgNotFound) && f.sequence >= info.State.FirstSeq && info.State.NumDeleted == 0 {
		return fmt.Errorf("stream %s: the server does not find the view's checkpoint %d, which it says is there; its disk may not give it: %w", name, f.sequence, err)
	}
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return fmt.Errorf("stream %s has nothing at the view's checkpoint %d: %w; restore the stream", name, f.sequence, ErrLost)
	}
	if err != nil {
		return fmt.Errorf("stream %s: the fact at the view's checkpoint %d cannot be read: %w", name, f.sequence, err)
	}
	if at.ID != f.event {
		return fmt.Errorf("stream %s holds %q at %d where the view saw %q: the log was changed, %w; restore the stream",
			name, at.ID, f.sequence, f.event, ErrLost)
	}
	return nil
}
