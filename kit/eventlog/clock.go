package eventlog

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

const (
	// clockInterval is the time between two questions for the server's time.
	clockInterval = 10 * time.Second
	// clockDrift is by how much clocks may go apart, as a part of the time that passes.
	clockDrift = 0.0002
	// maxStandstill is how long a Clock may stand still rather than go back.
	maxStandstill = time.Minute
)

// Clock tells the time of the server that stores the log. The clocks of replicas may differ by
// hours, and their decisions must still agree on what is due. It asks the leader of a stream
// now and then; in between, and while nobody answers, it counts on from the last answer by the
// machine's monotonic clock, which nobody sets. It is safe for concurrent use.
//
// The time goes back only if the server's own clock was set back by more than a minute.
type Clock struct {
	log    *Log
	stream string
	known  atomic.Pointer[serverTime]
	latest atomic.Int64 // the latest time that Now has returned, in nanoseconds since 1970
}

// serverTime is the server's time at a moment of this machine's monotonic clock.
type serverTime struct {
	at     time.Time // by the server
	moment time.Time // has a monotonic reading
	within time.Duration
}

func (s serverTime) now() time.Time { return s.at.Add(time.Since(s.moment)) }

// error returns by how much now may be wrong.
func (s serverTime) error() time.Duration {
	return s.within + time.Duration(clockDrift*float64(time.Since(s.moment)))
}

// Clock returns a clock that asks the leader of a stream, which must exist. It knows the
// server's time once Ask has succeeded. Run asks again and again.
func (l *Log) Clock(stream string) *Clock { return &Clock{log: l, stream: stream} }

// Known reports whether the server has told its time.
func (c *Clock) Known() bool { return c.known.Load() != nil }

// Now returns the server's time in UTC, or this machine's while the server's is not known.
func (c *Clock) Now() time.Time {
	known := c.known.Load()
	if known == nil {
		return time.Now().UTC()
	}
	now := known.now().UnixNano()
	for {
		latest := c.latest.Load()
		if now <= latest && time.Duration(latest-now) < maxStandstill {
			return time.Unix(0, latest).UTC()
		}
		if c.latest.CompareAndSwap(latest, now) {
			return time.Unix(0, now).UTC()
		}
	}
}

// Ask asks for the server's time. The error is ErrOutcomeUnknown if there is no answer within
// two seconds, and JetStream's if there is no such stream.
func (c *Clock) Ask(ctx context.Context) error {
	var info struct {
		Error *jetstream.APIError `json:"error"`
		Time  time.Time           `json:"ts"`
	}
	asked := time.Now()
	if err := c.log.request(ctx, "STREAM.INFO", c.stream, map[string]any{}, &info); err != nil {
		return err
	}
	if info.Error != nil {
		return fmt.Errorf("read %s: %w", c.stream, info.Error)
	}
	if info.Time.IsZero() {
		return fmt.Errorf("read %s: the server does not tell its time", c.stream)
	}
	half := time.Since(asked) / 2
	c.learn(serverTime{at: info.Time, moment: asked.Add(half), within: half})
	return nil
}

// learn takes an answer unless what is known agrees with it and is more precise.
func (c *Clock) learn(answer serverTime) {
	if known := c.known.Load(); known != nil {
		apart := known.now().Sub(answer.now()).Abs()
		if apart <= known.error()+answer.error() && known.error() < answer.error() {
			return
		}
	}
	c.known.Store(&answer)
}

// Run asks every ten seconds, and when a connection was lost, until ctx ends.
func (c *Clock) Run(ctx context.Context) {
	conn := c.log.js.Conn()
	reconnected := conn.StatusChanged(nats.CONNECTED)
	defer conn.RemoveStatusListener(reconnected)
	tick := time.NewTicker(clockInterval)
	defer tick.Stop()
	for ctx.Err() == nil {
		_ = c.Ask(ctx) // what is known stays right for long; the next question finds out
		select {
		case <-ctx.Done():
		case <-reconnected:
		case <-tick.C:
		}
	}
}
