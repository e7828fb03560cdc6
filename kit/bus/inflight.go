package bus

import (
	"context"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// vouchEvery is how often the server is told at most that messages are in good
// hands. What is done before is never spoken of.
const vouchEvery = 500 * time.Millisecond

// inFlight are the messages that a subscription was delivered and has not settled.
// The server takes them back after the consumer's ack_wait, which is short so
// that a replica that died holds up nothing for long. So it is told of those that
// take longer, as long as their handlers get on.
type inFlight struct {
	patience time.Duration // how long a handler may take
	slots    int           // how many handlers there are at once

	mu       sync.Mutex
	messages map[jetstream.Msg]*holding
}

type holding struct {
	began time.Time // when its handler did; zero while the message waits for one
	old   bool      // it was there when the server was last told
}

func newInFlight(patience time.Duration, slots int) *inFlight {
	return &inFlight{patience: patience, slots: slots, messages: map[jetstream.Msg]*holding{}}
}

func (h *inFlight) take(m jetstream.Msg) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.messages[m] = &holding{}
}

func (h *inFlight) begin(m jetstream.Msg) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.messages[m].began = time.Now()
}

func (h *inFlight) settled(m jetstream.Msg) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.messages, m)
}

// due are the messages to vouch for. A handler that takes longer than it may is
// stuck: its message is left for others, and so are those that wait when every
// handler is.
func (h *inFlight) due(now time.Time) (due []jetstream.Msg) {
	h.mu.Lock()
	defer h.mu.Unlock()
	stuck := func(m *holding) bool { return !m.began.IsZero() && now.Sub(m.began) > h.patience }
	free := h.slots
	for _, m := range h.messages {
		if stuck(m) {
			free--
		}
	}
	for msg, m := range h.messages {
		if m.old && !stuck(m) && (!m.began.IsZero() || free > 0) {
			due = append(due, msg)
		}
		m.old = true
	}
	return due
}

// vouch tells the server what is in good hands, until ctx has ended and all is
// settled.
func (h *inFlight) vouch(ctx context.Context, every time.Duration) {
	tick := time.NewTicker(every)
	defer tick.Stop()
	for now := range tick.C {
		for _, m := range h.due(now) {
			_ = m.InProgress() // if it gets lost, others are given the message, too, which changes nothing
		}
		if ctx.Err() != nil && h.empty() {
			return
		}
	}
}

func (h *inFlight) empty() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.messages) == 0
}
