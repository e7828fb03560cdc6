package projection

import (
	"context"
	"errors"
	"fmt"
	"hash/crc32"
	"slices"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"lonja/kit/eventlog"
)

// checkpoint is the last event of one stream whose rows are in a database.
type checkpoint struct {
	stream   string
	created  string // creation time of the stream
	sequence uint64
	eventID  string
}

func (c checkpoint) sum() uint32 {
	return crc32.ChecksumIEEE(fmt.Appendf(nil, "%s\n%s\n%d\n%s", c.stream, c.created, c.sequence, c.eventID))
}

func writeCheckpoint(tx *Tx, c checkpoint) error {
	return tx.Exec(`INSERT INTO checkpoint (stream, created, sequence, event, sum) VALUES (?, ?, ?, ?, ?)
		ON CONFLICT (stream) DO UPDATE SET created = excluded.created, sequence = excluded.sequence, event = excluded.event, sum = excluded.sum`,
		c.stream, c.created, c.sequence, c.eventID, c.sum())
}

// readCheckpoints returns the checkpoints in a database by stream. A checkpoint whose
// checksum does not match marks the file as damaged, so that it does not look like one of
// another log.
func (d *database) readCheckpoints() (map[string]checkpoint, error) {
	checkpoints := map[string]checkpoint{}
	err := d.conn.Each("SELECT stream, created, sequence, event, sum FROM checkpoint", nil, func(scan func(...any) error) error {
		var c checkpoint
		var sum uint32
		if err := scan(&c.stream, &c.created, &c.sequence, &c.eventID, &sum); err != nil || sum != c.sum() {
			return fmt.Errorf("%w: its checkpoint cannot be read (%v)", errDamaged, err)
		}
		checkpoints[c.stream] = c
		return nil
	})
	return checkpoints, err
}

// ErrLost reports that a stream no longer contains the events that the view was built from:
// it was deleted, purged, replaced, or lost data. View.Open and View.Run return it, and do
// not recover from it. An operator has to restore the stream, or delete the view's files if
// the loss is intended, and start the service again.
var ErrLost = errors.New("events may be lost")

// startAt puts the consumer at a checkpoint and verifies the stream. The checkpoint is zero
// when the database holds no event of the stream.
func (c *consumer) startAt(ctx context.Context, at checkpoint) error {
	c.sequence, c.eventID = at.sequence, at.eventID
	if c.created = at.created; at.sequence == 0 {
		c.created = ""
	}
	if err := c.verifyStream(ctx); err != nil {
		return err
	}
	c.advance(c.sequence)
	return nil
}

// maxStaleLeader is how long a server that was suspended may consider itself the leader of
// a stream after the others elected a new one. NATS checks every ten seconds whether a
// leader has heard from the others in the last ten seconds.
const maxStaleLeader = 20 * time.Second

// verifyStream verifies that the stream is the one that the rows were built from and still
// holds the event at the checkpoint. In a cluster, a server that considers itself the
// leader may not know the latest events. So verifyStream returns ErrLost for a replicated
// stream only when a leader has reported the loss for longer than maxStaleLeader.
func (c *consumer) verifyStream(ctx context.Context) error {
	stream, err := c.db.config.JetStream.Stream(ctx, c.source.Stream)
	if err != nil {
		return fmt.Errorf("stream %s: %w", c.source.Stream, err)
	}
	for began, info := time.Now(), stream.CachedInfo(); ; {
		if info.Cluster != nil && info.Cluster.Leader == "" {
			return fmt.Errorf("stream %s has no leader now", c.source.Stream)
		}
		err := c.compareStream(ctx, info)
		if !errors.Is(err, ErrLost) || info.Config.Replicas == 1 || time.Since(began) > maxStaleLeader {
			return err
		}
		c.db.config.Logger.Warn("a stream seems to have lost events; checking again", "view", c.db.def.Name, "reason", err)
		select {
		case <-time.After(time.Second):
		case <-ctx.Done():
			return ctx.Err()
		}
		if info, err = stream.Info(ctx); err != nil {
			return fmt.Errorf("stream %s: %w", c.source.Stream, err)
		}
	}
}

// compareStream compares the stream with the checkpoint, if there is one.
func (c *consumer) compareStream(ctx context.Context, info *jetstream.StreamInfo) error {
	name := info.Config.Name
	created := info.Created.UTC().Format(time.RFC3339Nano)
	// What is removed by its age is never delivered, as what has another subject.
	c.filtered.Store(info.Config.MaxAge > 0 ||
		!slices.Equal(slices.Sorted(slices.Values(info.Config.Subjects)), slices.Sorted(slices.Values(c.source.Subjects))))
	if c.sequence == 0 {
		c.created = created
		if first := info.Config.FirstSeq; first > 0 {
			c.advance(first - 1) // of a partition that was added later: no event was ever before
		}
		return nil
	}
	if created != c.created {
		return fmt.Errorf("stream %s was created at %s, but the view was built from one created at %s: %w; restore the stream, or delete the view's file if the new stream is intended",
			name, created, c.created, ErrLost)
	}
	if last := info.State.LastSeq; last < c.sequence {
		return fmt.Errorf("stream %s ends at %d, before the view's checkpoint %d: %w; restore the stream", name, last, c.sequence, ErrLost)
	}
	at, err := c.db.config.Log.At(ctx, name, c.sequence)
	if errors.Is(err, jetstream.ErrMsgNotFound) && eventlog.RemovesByAge(info.Config) {
		return c.checkAged(ctx, info)
	}
	if errors.Is(err, jetstream.ErrMsgNotFound) && c.sequence >= info.State.FirstSeq && info.State.NumDeleted == 0 {
		return fmt.Errorf("stream %s: the server does not find the message at the view's checkpoint %d although it lists no deletions; check its disk: %w", name, c.sequence, err)
	}
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return fmt.Errorf("stream %s has no message at the view's checkpoint %d: %w; restore the stream", name, c.sequence, ErrLost)
	}
	if err != nil {
		return fmt.Errorf("stream %s: the event at the view's checkpoint %d cannot be read: %w", name, c.sequence, err)
	}
	if at.ID != c.eventID {
		return fmt.Errorf("stream %s holds event %q at the view's checkpoint %d instead of %q: the stream was changed, %w; restore the stream",
			name, at.ID, c.sequence, c.eventID, ErrLost)
	}
	return nil
}

// checkAged returns nil if the event at the checkpoint has reached the age at which its stream
// removes events: every event of the stream comes after it. The event may have been there when info
// was asked for, so the stream is asked again.
func (c *consumer) checkAged(ctx context.Context, info *jetstream.StreamInfo) error {
	name := info.Config.Name
	stream, err := c.db.config.JetStream.Stream(ctx, name)
	if err != nil {
		return fmt.Errorf("stream %s: %w", name, err)
	}
	if first := stream.CachedInfo().State.FirstSeq; first <= c.sequence {
		return fmt.Errorf("stream %s begins at %d, but the server does not find the message at the view's checkpoint %d; check its disk", name, first, c.sequence)
	}
	return nil
}
