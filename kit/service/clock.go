package service

import (
	"context"
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"

	"lonja/kit/bus"
	"lonja/kit/eventlog"
)

const (
	// clockPoll is the longest time between two looks at the rows, and clockRest the shortest.
	clockPoll = time.Second
	clockRest = 100 * time.Millisecond
	// clockPage is how many rows are read at once, and how many events are handled between
	// two looks.
	clockPage = 64
	// clockSpread is how long a replica leaves an event to the others, at most.
	clockSpread = 250 * time.Millisecond
	// maxDueKnown is how many events may be handled while the rows still have them.
	maxDueKnown = 100_000
)

// clock is a Watermill subscriber to the events of a timer that are due.
//
// Every replica has one, and none knows of the others. Each waits for a while that depends on its
// name and the event, takes what is due in an order of its own, and looks at the rows once more
// before it acts. So mostly one replica acts, and the others see that it did. If two act, the log
// takes one decision; the other finds it recorded.
type clock struct {
	*deps
	timer    *Timer
	pace     pacer
	patience time.Duration // see awaitRows

	once    sync.Once
	closing chan struct{}
	open    sync.WaitGroup
	wake    chan struct{}

	mu    sync.Mutex
	known map[dueEvent]*handling
	looks uint64       // how often the rows were read from the beginning
	late  atomic.Int64 // since when the first event is due that is not done with, in microseconds since 1970; 0 for none
}

// handling is what became of an event that the rows still have.
type handling struct {
	tries int
	again time.Time // when to try again; zero for never
	busy  bool      // it is being handled
	later bool      // it was postponed until again
	look  uint64    // the last one that has found it
}

func newClock(d *deps, t *Timer, p pacer) *clock {
	return &clock{deps: d, timer: t, pace: p, patience: rowsPatience, closing: make(chan struct{}), wake: make(chan struct{}, 1), known: map[dueEvent]*handling{}}
}

// Subscribe implements message.Subscriber. It is called once.
func (c *clock) Subscribe(ctx context.Context, _ string) (<-chan *message.Message, error) {
	out := make(chan *message.Message)
	ctx, stop := context.WithCancel(ctx)
	go func() {
		select {
		case <-c.closing:
		case <-ctx.Done():
		}
		stop()
	}()
	c.open.Go(func() {
		defer stop()
		defer close(out)
		c.run(ctx, out)
	})
	return out, nil
}

// Close implements message.Subscriber. It may be called more than once.
func (c *clock) Close() error {
	c.once.Do(func() { close(c.closing) })
	c.open.Wait()
	return nil
}

// retry forgets that an event was given up.
func (c *clock) retry(number uint64) {
	c.mu.Lock()
	for e, h := range c.known {
		if e.number == number && !h.busy {
			delete(c.known, e)
		}
	}
	c.mu.Unlock()
	c.signal()
}

// signal makes run look at the rows soon.
func (c *clock) signal() {
	select {
	case c.wake <- struct{}{}:
	default:
	}
}

// run hands over what is due until ctx ends.
func (c *clock) run(ctx context.Context, out chan<- *message.Message) {
	var running sync.WaitGroup
	defer running.Wait()
	c.awaitRows(ctx)
	for failed := false; ctx.Err() == nil; {
		changed := c.timer.View.Changed()
		ready, wait, err := c.look(ctx)
		if err != nil && ctx.Err() == nil && !failed {
			c.Logger.Warn("a timer cannot ask its rows what is due, and tries again", "timer", c.timer.Name, "reason", err)
		}
		failed = err != nil
		if len(ready) == 0 {
			c.pace.rest()
			c.sleep(ctx, wait, changed)
			continue
		}
		rand.Shuffle(len(ready), func(i, j int) { ready[i], ready[j] = ready[j], ready[i] })
		for _, e := range ready {
			if !c.pace.acquire(ctx) {
				break
			}
			h := c.begin(e)
			running.Go(func() {
				began := time.Now()
				c.end(h, c.handOver(ctx, e, out))
				c.pace.release(ctx, time.Since(began))
			})
		}
	}
}

// sleep waits until something may be due: after a time, or when the view has changed.
func (c *clock) sleep(ctx context.Context, wait time.Duration, changed <-chan struct{}) {
	rest, late := time.After(min(wait, clockRest)), time.After(wait)
	select {
	case <-ctx.Done():
		return
	case <-rest:
	}
	select {
	case <-ctx.Done():
	case <-late:
	case <-changed:
	case <-c.wake:
	}
}

// look returns events to be handled now, at most clockPage of them, and how long to wait when
// there are none.
func (c *clock) look(ctx context.Context) (ready []dueEvent, wait time.Duration, err error) {
	if c.serverClock != nil && !c.serverClock.Known() {
		return nil, clockRest, nil
	}
	now := c.Clock()
	next := now.Add(clockPoll)
	earlier := func(t time.Time) {
		if t.Before(next) {
			next = t
		}
	}
	c.looks++
	oldest := int64(0)
	defer func() { c.late.Store(oldest) }()
	for from, more := (dueEvent{}), true; more && len(ready) < clockPage; {
		rows, err := c.timer.pending(ctx, from, clockPage)
		if err != nil {
			return nil, clockPoll, err
		}
		more = len(rows) == clockPage
		for _, e := range rows {
			if e.time().After(now) {
				earlier(e.time())
				more = false
				break
			}
			from = e
			at, done := c.readyAt(e, now)
			if !done && oldest == 0 {
				oldest = e.at
			}
			if at.After(now) {
				earlier(at)
			} else if !at.IsZero() {
				ready = append(ready, e)
			}
		}
		c.forget(from, more)
	}
	return ready, max(next.Sub(now), time.Millisecond), nil
}

// readyAt returns when an event that is due may be handled here. That is the zero time if it is
// being handled, or was; done says which.
func (c *clock) readyAt(e dueEvent, now time.Time) (at time.Time, done bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	h := c.known[e]
	switch {
	case h == nil && len(c.known) < maxDueKnown:
		return e.time().Add(c.spread(e.number)), false
	case h == nil:
		return time.Time{}, false
	}
	if h.look = c.looks; h.busy || h.again.IsZero() {
		return time.Time{}, !h.busy
	}
	return now.Add(time.Until(h.again)), false
}

// lateness returns for how long the first event has been due that is not done with.
func (c *clock) lateness() time.Duration {
	late := c.late.Load()
	if late == 0 {
		return 0
	}
	return max(0, c.Clock().Sub(time.UnixMicro(late)))
}

// spread returns how long this replica leaves an event to the others.
func (c *clock) spread(number uint64) time.Duration {
	h := fnv.New64a()
	_, _ = fmt.Fprint(h, c.Replica, number)
	return time.Duration(h.Sum64() % uint64(clockSpread))
}

// forget drops what is known of events up to one that the rows have no more. If no more rows
// are due, that is all events which were not found.
func (c *clock) forget(through dueEvent, more bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for e, h := range c.known {
		if h.look != c.looks && !h.busy && !(more && e.after(through)) {
			delete(c.known, e)
		}
	}
}

// handOver has an event handled, unless the rows do not have it any more. It reports whether
// that succeeded or was given up.
func (c *clock) handOver(ctx context.Context, e dueEvent, out chan<- *message.Message) (done bool) {
	still, err := c.timer.isPending(ctx, e)
	if err != nil || !still {
		return err == nil
	}
	at := c.timer.View.Place(c.timer.Stream, e.number)
	event, err := c.messageAt(ctx, at.Stream, at.Sequence, "", nil)
	if err != nil {
		if ctx.Err() == nil {
			c.Logger.Warn("an event that is due cannot be read, and is tried again", "timer", c.timer.Name, "reason", err)
		}
		return false
	}
	m := messageOf(event)
	m.SetContext(context.WithValue(m.Context(), dueKey{}, e.time()))
	select {
	case out <- m:
	case <-ctx.Done():
		return false
	}
	select {
	case <-m.Acked():
		return true
	case <-m.Nacked():
		return false
	}
}

// begin notes that an event is being handled.
func (c *clock) begin(e dueEvent) *handling {
	c.mu.Lock()
	defer c.mu.Unlock()
	h := c.known[e]
	if h == nil {
		h = &handling{}
		c.known[e] = h
	}
	h.busy, h.later, h.tries, h.look = true, false, h.tries+1, c.looks
	return h
}

// end notes that the handling of an event has ended. If it is not done, it is tried again after a
// delay that grows as that of a reaction's message; if it was postponed, at the time for that.
func (c *clock) end(h *handling, done bool) {
	c.mu.Lock()
	h.busy = false
	switch {
	case !done:
		h.again = time.Now().Add(bus.RedeliveryDelay(h.tries))
	case !h.later:
		h.again = time.Time{}
	}
	again := !h.again.IsZero()
	c.mu.Unlock()
	if again {
		c.signal()
	}
}

// postpone has the event with a number, which is being handled, handled again at a time.
func (c *clock) postpone(number uint64, at time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for e, h := range c.known {
		if e.number == number && h.busy {
			h.later, h.again = true, time.Now().Add(at.Sub(c.Clock()))
		}
	}
}

// untilClosed returns a context that ends with ctx, after a time, and when the clock is closed.
func (c *clock) untilClosed(ctx context.Context, limit time.Duration) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithTimeout(ctx, limit)
	go func() {
		select {
		case <-c.closing:
			cancel()
		case <-ctx.Done():
		}
	}()
	return ctx, cancel
}

// messageOf returns an event as the message that its stream would deliver.
func messageOf(r eventlog.Record) *message.Message {
	m := message.NewMessage(r.ID, r.Data)
	for key, values := range r.Headers {
		m.Metadata[key] = values[0]
	}
	m.Metadata[bus.MetaStream] = r.Stream
	m.Metadata[bus.MetaSequence] = strconv.FormatUint(r.Sequence, 10)
	m.Metadata[bus.MetaSubject] = r.Subject
	m.Metadata[bus.MetaStored] = r.StoredAt.UTC().Format(time.RFC3339Nano)
	return m
}
