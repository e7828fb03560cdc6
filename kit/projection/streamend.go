package projection

import (
	"context"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

const (
	// minEndInterval is the shortest time between two requests for a stream's end,
	// however many callers wait for the stream.
	minEndInterval = 10 * time.Millisecond
	// maxEndInterval is the longest time between two such requests for one caller that
	// keeps waiting.
	maxEndInterval = time.Second
	// leaderContact is how recently a leader must have heard from the other servers to be
	// sure that they have not elected a new one: they wait at least four seconds.
	leaderContact = 3 * time.Second
)

// streamEnd is a stream's last sequence, as its leader reported it.
type streamEnd struct {
	last  uint64
	asked time.Time // when the request was sent
}

// isPastEnd reports whether a sequence is known not to be recorded. The caller saw it, if
// at all, before it began to wait, so a leader that was asked after that would know it.
func (c *consumer) isPastEnd(seq uint64, began time.Time) bool {
	e := c.end.Load()
	return e != nil && e.asked.After(began) && seq > e.last
}

// refreshEnd asks the stream for its end, once for all callers that wait. The answer tells
// isPastEnd which sequences are not recorded. It also tells whether a filtered consumer has
// caught up: when no event that it reads follows its position, the rest of the stream holds
// nothing for the view, and the position advances to the end.
func (c *consumer) refreshEnd(ctx context.Context) {
	if !c.refreshing.TryLock() {
		return
	}
	defer c.refreshing.Unlock()
	asked := time.Now()
	if asked.Sub(c.refreshed) < minEndInterval {
		return
	}
	c.refreshed = asked
	position := c.position.Load()
	stream, err := c.db.config.JetStream.Stream(ctx, c.source.Stream)
	if err != nil {
		return
	}
	info := stream.CachedInfo()
	if isLeaderCurrent(info) {
		c.end.Store(&streamEnd{info.State.LastSeq, asked})
	}
	if !c.db.current || !c.filtered.Load() {
		return
	}
	for _, subject := range c.source.Subjects { // after the stream's end, or an event in between would be missed
		if last, err := c.db.config.Log.Last(ctx, c.source.Stream, subject); err != nil || last > position {
			return
		}
	}
	c.advance(info.State.LastSeq)
}

// isLeaderCurrent reports whether the server that answered for a stream must know all that
// is recorded on it. In a cluster the answer may come from a server that was suspended
// while the others elected a new leader; it has not heard from most of them recently.
func isLeaderCurrent(info *jetstream.StreamInfo) bool {
	if info.Config.Replicas <= 1 || info.Cluster == nil {
		return true
	}
	inContact := 1 // itself
	for _, peer := range info.Cluster.Replicas {
		if !peer.Offline && peer.Active < leaderContact {
			inContact++
		}
	}
	return 2*inContact > info.Config.Replicas
}
