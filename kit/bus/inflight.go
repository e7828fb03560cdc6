package bus

import (
	"context"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// progressInterval is the longest time between two progress reports to the server. A
// message that is settled sooner is never reported.
const progressInterval = 500 * time.Millisecond

// inFlight holds the messages that a subscription has received and not yet settled.
//
// The server redelivers a message after the consumer's ack_wait. That time is short, so
// that a replica that died delays nothing for long. Handlers may take longer, so inFlight
// reports progress on their messages for as long as they are within their timeout.
type inFlight struct {
	timeout  time.Duration // how long a handler may take
	handlers int           // how many handlers run at once

	mu       sync.Mutex
	interval time.Duration // between two progress reports
	messages map[jetstream.Msg]*delivery
}

type delivery struct {
	started time.Time // when its handler started; zero while it waits for one
	seen    bool      // it was already there at the last progress report
}

func newInFlight(timeout time.Duration, handlers int) *inFlight {
	return &inFlight{timeout: timeout, handlers: handlers, interval: progressInterval, messages: map[jetstream.Msg]*delivery{}}
}

// setAckWait makes progress reports frequent enough for a consumer's ack_wait.
func (f *inFlight) setAckWait(ackWait time.Duration) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.interval = min(progressInterval, ackWait/4)
}

func (f *inFlight) add(m jetstream.Msg) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.messages[m] = &delivery{}
}

func (f *inFlight) start(m jetstream.Msg) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.messages[m].started = time.Now()
}

func (f *inFlight) remove(m jetstream.Msg) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.messages, m)
}

// stuck reports whether a message's handler has exceeded its timeout.
func (f *inFlight) stuck(d *delivery, now time.Time) bool {
	return !d.started.IsZero() && now.Sub(d.started) > f.timeout
}

// state returns how many handlers are not stuck, and whether any message is with one of
// them or waits for one. A handler that ignores its context must not pass for work that
// gets on.
func (f *inFlight) state(now time.Time) (usable int, working bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	usable = f.handlers
	for _, d := range f.messages {
		if f.stuck(d, now) {
			usable--
		} else {
			working = true
		}
	}
	return usable, working
}

// due returns the messages to report progress on. A stuck handler's message is left to
// other replicas. When all handlers are stuck, so are the messages that wait for one.
func (f *inFlight) due(now time.Time) (due []jetstream.Msg) {
	usable, _ := f.state(now)
	f.mu.Lock()
	defer f.mu.Unlock()
	for m, d := range f.messages {
		if d.seen && !f.stuck(d, now) && (!d.started.IsZero() || usable > 0) {
			due = append(due, m)
		}
		d.seen = true
	}
	return due
}

// reportProgress reports progress until ctx has ended and every message is settled.
func (f *inFlight) reportProgress(ctx context.Context) {
	for {
		f.mu.Lock()
		timer := time.NewTimer(f.interval)
		f.mu.Unlock()
		for _, m := range f.due(<-timer.C) {
			_ = m.InProgress() // if this is lost, another replica gets the message too, which is harmless
		}
		if ctx.Err() != nil && f.empty() {
			return
		}
	}
}

func (f *inFlight) empty() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.messages) == 0
}
