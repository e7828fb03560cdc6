package bus

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// stallCheckInterval is the time between two checks of a consumer.
const stallCheckInterval = 2 * time.Second

var errStalled = errors.New("the consumer delivers nothing although messages are pending")

// Stalled reports that two checks in a row, some seconds apart, found no progress: the
// consumer delivers nothing although messages are pending, or does not answer, or every
// handler has exceeded its Timeout. The subscriber keeps asking for messages meanwhile.
func (s *StreamSubscriber) Stalled() bool { return s.health.stalled.Load() }

// activity is what one consumption has heard from the server.
type activity struct {
	received    atomic.Uint64 // messages
	noHeartbeat atomic.Bool   // not even a heartbeat came when one was due
}

// consumerHealth is the result of the checks of a consumer, across consumptions.
type consumerHealth struct {
	stalled atomic.Bool
	failed  int                     // checks in a row that found no progress
	last    *jetstream.ConsumerInfo // as of the last check, nil if that did not ask for it
}

// monitor checks every stallCheckInterval whether a consumption makes progress, until ctx
// ends. From the second failed check on it ends the consumption through broken, so that
// the subscriber starts another one. It does not end one whose consumer gives no answer,
// since that is asked all the time anyway, nor one whose handlers are all stuck, since
// another one would have no handlers either.
func (s *StreamSubscriber) monitor(ctx context.Context, cons jetstream.Consumer, seen *activity, broken chan<- error) {
	tick := time.NewTicker(stallCheckInterval)
	defer tick.Stop()
	for received := uint64(0); ; {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
		usable, working := s.inFlight.state(time.Now())
		if usable <= 0 {
			// Redeliveries still arrive then, so this comes before what was received.
			if s.health.record(false, nil) == 2 {
				s.Logger.Error("every handler of a consumer has exceeded its timeout; it handles no more messages until one returns", "consumer", cons.CachedInfo().Name)
			}
			continue
		}
		before := received
		if received = seen.received.Load(); received != before || working {
			s.health.record(true, nil)
			continue
		}
		info, err := consumerInfo(ctx, cons)
		if ctx.Err() != nil || !s.JetStream.Conn().IsConnected() {
			continue
		}
		silent := seen.noHeartbeat.Swap(false)
		n := s.health.record(err == nil && !silent && !withholds(s.health.last, info), info)
		if n < 2 || err != nil {
			continue
		}
		if n%3 == 0 && !info.Paused {
			_ = s.JetStream.Conn().ForceReconnect() // to another server, perhaps
		}
		signal(broken, errStalled)
	}
}

func consumerInfo(ctx context.Context, cons jetstream.Consumer) (*jetstream.ConsumerInfo, error) {
	ctx, cancel := context.WithTimeout(ctx, stallCheckInterval)
	defer cancel()
	return cons.Info(ctx)
}

// withholds reports whether a consumer could have delivered something from one check to
// the next, and delivered nothing to anybody.
func withholds(last, now *jetstream.ConsumerInfo) bool {
	could := func(info *jetstream.ConsumerInfo) bool {
		return info != nil && info.NumPending > 0 && info.NumAckPending < info.Config.MaxAckPending
	}
	return could(last) && could(now) && last.Delivered.Consumer == now.Delivered.Consumer
}

// record keeps the result of a check, and returns how many in a row have failed.
func (h *consumerHealth) record(ok bool, info *jetstream.ConsumerInfo) int {
	if h.failed++; ok {
		h.failed = 0
	}
	h.last = info
	h.stalled.Store(h.failed > 1)
	return h.failed
}

// onError returns a handler of a consumption's errors. An error after which no more
// messages come goes to broken; a missed heartbeat is noted.
func (a *activity) onError(broken chan<- error) func(jetstream.ConsumeContext, error) {
	return func(_ jetstream.ConsumeContext, err error) {
		switch {
		case errors.Is(err, jetstream.ErrConsumerDeleted), errors.Is(err, jetstream.ErrConsumerNotFound), errors.Is(err, nats.ErrNoResponders):
			signal(broken, err)
		case errors.Is(err, jetstream.ErrNoHeartbeat):
			a.noHeartbeat.Store(true)
		}
	}
}

// signal sends err unless an earlier one has not been received yet.
func signal(broken chan<- error, err error) {
	select {
	case broken <- err:
	default:
	}
}
