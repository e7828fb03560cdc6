package eventlog

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"lonja/kit/errs"
)

// failureTTL is how long a failed append counts as an outage if no other append has been
// tried since.
const failureTTL = 10 * time.Second

// breakers holds a circuit breaker for each stream.
//
// The first append that times out does not open its stream's breaker: this process may
// have been paused. If an append that was sent after that times out as well, the breaker
// opens. Then one append at a time probes the stream, and the others fail at once instead
// of waiting for the same timeout. The first success closes the breaker. An open breaker
// does not apply to another connection.
type breakers struct {
	mu       sync.Mutex
	byStream map[string]*breaker
}

type breaker struct {
	err          error     // why the stream takes no events; nil while it does
	failedAt     time.Time // when err was set
	succeededAt  time.Time // when the stream last stored an event
	firstTimeout time.Time // when an append first timed out; zero if the last one did not
	open         bool
	probing      bool   // an append is probing the stream
	reconnects   uint64 // of the connection, when err was set
}

// attempt is one append on its way to a stream.
type attempt struct {
	stream     string
	sentAt     time.Time
	reconnects uint64 // of the connection, at sentAt
	probe      bool   // it probes a stream whose breaker is open
}

// admit returns the attempt to append to a stream, or the error that opened the stream's
// breaker. Every admitted attempt must end in succeeded or failed.
func (b *breakers) admit(stream string, reconnects uint64) (attempt, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	a := attempt{stream: stream, sentAt: time.Now(), reconnects: reconnects}
	s := b.byStream[stream]
	if s == nil || !s.open || s.reconnects != reconnects {
		return a, nil
	}
	if s.probing {
		return a, s.err
	}
	s.probing, a.probe = true, true
	return a, nil
}

// succeeded notes that the attempt stored its event, or found it stored.
func (b *breakers) succeeded(a attempt) {
	b.update(a, func(s *breaker) { *s = breaker{succeededAt: time.Now()} })
}

// failed notes why the attempt failed; nil means that the reason says nothing about the
// stream. Neither does a timeout if the stream stored another event meanwhile.
func (b *breakers) failed(a attempt, err error) {
	b.update(a, func(s *breaker) {
		if a.probe {
			s.probing = false
		}
		timedOut := errors.Is(err, context.DeadlineExceeded)
		switch {
		case err == nil, timedOut && s.succeededAt.After(a.sentAt):
			return
		case timedOut && !s.open && (s.firstTimeout.IsZero() || a.sentAt.Before(s.firstTimeout)):
			if s.firstTimeout.IsZero() {
				s.firstTimeout = time.Now()
			}
			return
		case timedOut:
			s.err = errs.New(errs.Unavailable, "the log %s does not answer; try again with the same id", a.stream)
		case errors.Is(err, jetstream.ErrNoStreamResponse):
			s.err = errs.New(errs.Unavailable, "the log %s does not exist or has no leader now; try again with the same id", a.stream)
		default:
			s.err = err
		}
		s.failedAt, s.open, s.reconnects = time.Now(), timedOut, a.reconnects
	})
}

func (b *breakers) update(a attempt, change func(*breaker)) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.byStream == nil {
		b.byStream = map[string]*breaker{}
	}
	if b.byStream[a.stream] == nil {
		b.byStream[a.stream] = &breaker{}
	}
	change(b.byStream[a.stream])
}

// outage returns the error of a stream that failed within failureTTL, or nil.
func (b *breakers) outage() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, s := range b.byStream {
		if s.err != nil && time.Since(s.failedAt) < failureTTL {
			return s.err
		}
	}
	return nil
}
