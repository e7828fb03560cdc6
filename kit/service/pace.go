package service

import (
	"context"
	"sync/atomic"
	"time"
)

const (
	// paceRate is how many events a second a timer begins with. Each second that it does not
	// get to the end of what is due adds one more, so it keeps up with any load in the long run.
	paceRate = 50
	// paceInFlight is how many are handled at once.
	paceInFlight = 4
	// maxPause is the longest pause after an event, and patience how long a storm may last
	// before there are none any more.
	maxPause = 250 * time.Millisecond
	patience = 2 * time.Minute
)

// pacer decides when a clock may hand over the next event.
type pacer interface {
	rest()                                        // nothing is left that is due
	acquire(ctx context.Context) bool             // waits; reports false when ctx ends before
	release(ctx context.Context, _ time.Duration) // the event was handled, and took so long
}

// atOnce lets so many events be handled at a time, whatever time they take.
type atOnce chan struct{}

func newAtOnce(n int) atOnce { return make(atOnce, n) }

func (s atOnce) rest() {}

func (s atOnce) acquire(ctx context.Context) bool {
	select {
	case s <- struct{}{}:
		return true
	case <-ctx.Done():
		return false
	}
}

func (s atOnce) release(context.Context, time.Duration) { <-s }

// pace spreads the events of a timer that are due, for there may be very many at once: a deadline
// of all who ordered in a sale, or what became due while the shop was down. Customers must not
// notice. After each event comes a pause of the time that the event took, so the slower the
// machine is at present, the fewer are handled. The pauses get shorter within two minutes.
type pace struct {
	slots chan struct{}
	made  time.Time
	since atomic.Int64 // when more was due than was handled at once: nanoseconds after made
	next  time.Time    // when the next event may be handled
}

func newPace() *pace { return &pace{slots: make(chan struct{}, paceInFlight), made: time.Now()} }

// rest notes that nothing is left that is due.
func (p *pace) rest() { p.since.Store(int64(time.Since(p.made))) }

// storm returns for how long there has been more than was handled at once.
func (p *pace) storm() time.Duration { return time.Since(p.made) - time.Duration(p.since.Load()) }

// acquire waits until the next event may be handled. It reports false when ctx ends before.
func (p *pace) acquire(ctx context.Context) bool {
	now := time.Now()
	if p.next.Before(now) {
		p.next = now
	}
	wait := p.next.Sub(now)
	p.next = p.next.Add(interval(p.storm()))
	if !sleep(ctx, wait) {
		return false
	}
	select {
	case p.slots <- struct{}{}:
		return true
	case <-ctx.Done():
		return false
	}
}

// release makes room for another event after a pause.
func (p *pace) release(ctx context.Context, took time.Duration) {
	sleep(ctx, pause(took, p.storm()))
	<-p.slots
}

// interval returns the time from one event to the next in a storm that has lasted for a time.
func interval(storm time.Duration) time.Duration {
	return time.Duration(float64(time.Second) / (paceRate + storm.Seconds()))
}

// pause returns how long to wait after an event that took a time.
func pause(took, storm time.Duration) time.Duration {
	left := max(0, 1-float64(storm)/float64(patience))
	return time.Duration(left * float64(min(took, maxPause)))
}

// sleep waits for a time, and reports false when ctx ends before.
func sleep(ctx context.Context, d time.Duration) bool {
	if d <= 0 {
		return ctx.Err() == nil
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}
