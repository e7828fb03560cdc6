package projection

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// consumer reads the events of one stream into a database: through the replica's durable
// consumer or, for a database that is being built, through an ephemeral one.
type consumer struct {
	db     *database
	source Source

	// The checkpoint. Only run, and what it calls, uses these.
	created        string // creation time of the stream
	sequence       uint64 // of the last event in the rows
	eventID        string // of the same
	deadLetteredTo uint64 // undecodable messages up to this sequence are in the dead letters already
	pace           pace

	position atomic.Uint64 // the rows include every event that is read up to this sequence
	hurry    chan struct{} // somebody waits for an event that may have arrived; see pace
	filtered atomic.Bool   // only some of the stream's subjects are read
	nats     atomic.Pointer[jetstream.Consumer]

	end        atomic.Pointer[streamEnd] // as last asked for
	refreshing sync.Mutex
	refreshed  time.Time // when the end was last asked for; used inside refreshing

	keyless atomic.Bool   // the key of the next event cannot be had now
	stalled atomic.Bool   // the rows do not follow the stream; see detectStall
	restart chan struct{} // tells a consumer that waits in vain to start again
	emptyTo uint64        // no event that is read lies between the rows and this sequence; used by detectStall only

	caughtUp chan struct{} // during a build: closed when no event is left
	stopAt   uint64        // during a replay: the last sequence to read; otherwise 0
}

func newConsumer(d *database, src Source) *consumer {
	return &consumer{db: d, source: src, pace: pace{unreported: d.config != nil && d.config.OnChange == nil},
		restart: make(chan struct{}), hurry: make(chan struct{}, 1), caughtUp: make(chan struct{})}
}

// advance publishes that the rows include every event that is read up to seq, and the keys
// that changed on the way. Those of a build are not published, since no query sees them yet.
func (c *consumer) advance(seq uint64, changes ...KeyChange) {
	if seq > c.position.Load() {
		c.position.Store(seq)
		c.stalled.Store(false)
		c.keyless.Store(false)
	}
	if c.db.building {
		changes = nil
	}
	c.db.onCommit(changes)
}

// consumption is a database whose consumers run.
type consumption struct {
	db     *database
	failed chan error // errors after which a consumer cannot continue
	stop   func()     // stops the consumers and waits for them; it can be called again
}

func (d *database) startConsumers(ctx context.Context) *consumption {
	ctx, cancel := context.WithCancel(ctx)
	var running sync.WaitGroup
	active := &consumption{db: d, failed: make(chan error, len(d.consumers))}
	active.stop = func() { cancel(); running.Wait() }
	for _, c := range d.consumers {
		running.Go(func() { c.detectStall(ctx) })
		running.Go(func() {
			if err := c.run(ctx); err != nil && ctx.Err() == nil {
				active.failed <- fmt.Errorf("stream %s: %w", c.source.Stream, err)
			}
		})
	}
	return active
}

// wait waits until a channel is closed, a consumer fails or ctx ends.
func (a *consumption) wait(ctx context.Context, until <-chan struct{}) error {
	select {
	case <-until:
		return nil
	case err := <-a.failed:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// run consumes until ctx ends. After a missed delivery, a deleted consumer, a full disk, a
// stall, or an event whose key cannot be had now, it starts again from the checkpoint. It
// returns an error for what a new start does not repair: an error of the definition, a
// damaged file, a stream that lost events and, during a build, a database that cannot be
// written.
func (c *consumer) run(ctx context.Context) error {
	stalls := 0 // in a row, without an event in between
	for wait := 50 * time.Millisecond; ctx.Err() == nil; {
		before := c.sequence
		err := c.consume(ctx, stalls > 1)
		var inDefinition *definitionError
		var inCommit *commitError
		switch {
		case ctx.Err() != nil:
			return nil
		case errors.As(err, &inDefinition), isDamaged(err), errors.Is(err, ErrLost), c.db.building && errors.As(err, &inCommit):
			return err
		}
		c.db.config.Logger.Warn("a view's consumer starts again from its checkpoint",
			"view", c.db.def.Name, "stream", c.source.Stream, "sequence", c.sequence, "reason", err)
		if errors.Is(err, errKeyless) {
			stalls = 0 // events are delivered
		}
		if c.sequence > before {
			wait, stalls = 50*time.Millisecond, 0
		}
		if errors.Is(err, errStalled) {
			stalls++
			c.recoverStall(stalls)
		}
		select {
		case <-ctx.Done():
		case <-time.After(wait):
		}
		wait = min(2*wait, 5*time.Second)
	}
	return nil
}
