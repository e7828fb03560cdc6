package projection

import (
	"context"
	"errors"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// stallCheckInterval is the time between two checks for a stall. A position that does not
// change from one check to the next should have reached the end of the stream.
const stallCheckInterval = 2 * time.Second

// errStalled reports that the server delivers nothing although the stream has more events.
var errStalled = errors.New("nothing is delivered although the stream has more events")

// errKeyless reports that the key of the next event cannot be had now.
var errKeyless = errors.New("the event cannot be opened")

// detectStall notices when the position stays where it is although the stream moves on, for
// whatever reason, or when the stream ends before the position. The consumer then counts as
// stalled until the position advances. If it only waits for deliveries, it starts again; a
// consumer that is slow because a batch takes long is left alone.
func (c *consumer) detectStall(ctx context.Context) {
	tick := time.NewTicker(stallCheckInterval)
	defer tick.Stop()
	for position, differed := c.position.Load(), false; ; {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
		if now := c.position.Load(); now != position {
			position, differed = now, false
			continue
		}
		differs, err := c.differsFromStream(ctx)
		if err != nil {
			continue // unknown
		}
		stalled := differed && differs && c.position.Load() == position
		differed = differs
		if c.stalled.Store(stalled); !stalled {
			continue
		}
		select {
		case c.restart <- struct{}{}:
		default: // it is working on a batch or starting already
		}
	}
}

// differsFromStream reports whether the stream, as its leader knows it, holds an event that
// is read and not in the rows, or ends before the position.
func (c *consumer) differsFromStream(ctx context.Context) (bool, error) {
	ctx, cancel := context.WithTimeout(ctx, stallCheckInterval)
	defer cancel()
	position := c.position.Load() // before the request, since events are recorded meanwhile
	stream, err := c.db.config.JetStream.Stream(ctx, c.source.Stream)
	if err != nil {
		return false, err
	}
	switch last := stream.CachedInfo().State.LastSeq; {
	case last < position:
		return true, nil
	case c.stopAt > 0 && position >= c.stopAt, last <= max(position, c.emptyTo):
		return false, nil
	case !c.filtered.Load():
		return true, nil
	default:
		for _, subject := range c.source.Subjects {
			_, err := c.db.config.Log.Next(ctx, c.source.Stream, subject, max(position, c.emptyTo)+1)
			if err == nil || !errors.Is(err, jetstream.ErrMsgNotFound) {
				return err == nil, err
			}
		}
		c.emptyTo = last
		return false, nil
	}
}

// recoverStall takes a measure against the n-th stall in a row. After the first one the
// consumer only asks the server again; from the second on it is recreated as well, see run.
// Every third one also replaces the connection, for all its users.
func (c *consumer) recoverStall(n int) {
	if n%3 != 0 {
		return
	}
	if err := c.db.config.JetStream.Conn().ForceReconnect(); err != nil {
		c.db.config.Logger.Warn("a stalled view could not force a new connection", "view", c.db.def.Name, "reason", err)
	}
}

// Stalled returns the streams that the rows do not follow: they hold more events and none
// are delivered, the key of the next one cannot be had, or they end before the view's
// position. The view keeps trying; a stream disappears from the list once its events arrive.
// The result is nil when there are none.
func (v *View) Stalled() []string {
	var streams []string
	if db := v.current(); db != nil {
		for _, c := range db.consumers {
			if c.stalled.Load() || c.keyless.Load() {
				streams = append(streams, c.source.Stream)
			}
		}
	}
	return streams
}
