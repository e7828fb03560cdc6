package bus

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// lookEvery is how often it is looked whether a consumer stands still.
const lookEvery = 2 * time.Second

var errStalled = errors.New("nothing is delivered although there is more")

// Stalled reports that nothing has come for some seconds although there is
// more, whatever the reason. It is asked for again until it comes.
func (f *StreamSubscriber) Stalled() bool { return f.standing.still.Load() }

// signs are what tells whether a consumption gets on.
type signs struct {
	arrived atomic.Uint64 // how many messages
	silent  atomic.Bool   // the server did not even say that there is nothing
}

// standing is what was seen of a consumer, look after look, whoever consumed.
type standing struct {
	still  atomic.Bool
	unwell int                     // how often in a row
	last   *jetstream.ConsumerInfo // of the last look, nil when something had come since
}

// oversee looks whether a consumption brings what there is, until ctx ends. One
// that does not is ended at every look after the first, to be begun anew. A consumer
// that gives no answer is only told of: it is asked all the time as it is.
func (f *StreamSubscriber) oversee(ctx context.Context, cons jetstream.Consumer, s *signs, hands *inFlight, broken chan<- error) {
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	for arrived := uint64(0); ; {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
		if n := s.arrived.Load(); n != arrived || !hands.empty() {
			arrived = n
			f.standing.note(true, nil)
			continue
		}
		info, err := look(ctx, cons)
		if ctx.Err() != nil || !f.JetStream.Conn().IsConnected() {
			continue
		}
		silent := s.silent.Swap(false)
		n := f.standing.note(err == nil && !silent && !ignores(f.standing.last, info), info)
		if n < 2 || err != nil {
			continue
		}
		if n%3 == 0 && !info.Paused {
			_ = f.JetStream.Conn().ForceReconnect() // to another server, perhaps
		}
		tell(broken, errStalled)
	}
}

func look(ctx context.Context, cons jetstream.Consumer) (*jetstream.ConsumerInfo, error) {
	ctx, cancel := context.WithTimeout(ctx, lookEvery)
	defer cancel()
	return cons.Info(ctx)
}

// ignores reports whether a consumer had, from one look to the next, something
// that it could deliver, and delivered nothing to anybody.
func ignores(last, now *jetstream.ConsumerInfo) bool {
	could := func(info *jetstream.ConsumerInfo) bool {
		return info != nil && info.NumPending > 0 && info.NumAckPending < info.Config.MaxAckPending
	}
	return could(last) && could(now) && last.Delivered.Consumer == now.Delivered.Consumer
}

// note keeps what was seen, and returns how often in a row it was not well.
func (s *standing) note(well bool, info *jetstream.ConsumerInfo) int {
	if s.unwell++; well {
		s.unwell = 0
	}
	s.last = info
	s.still.Store(s.unwell > 1)
	return s.unwell
}

// watch notes the errors of a consumption: those after which it brings no more,
// and that nothing at all is heard.
func (s *signs) watch(broken chan<- error) func(jetstream.ConsumeContext, error) {
	return func(_ jetstream.ConsumeContext, err error) {
		switch {
		case errors.Is(err, jetstream.ErrConsumerDeleted), errors.Is(err, jetstream.ErrConsumerNotFound), errors.Is(err, nats.ErrNoResponders):
			tell(broken, err)
		case errors.Is(err, jetstream.ErrNoHeartbeat):
			s.silent.Store(true)
		}
	}
}

func tell(broken chan<- error, err error) {
	select {
	case broken <- err:
	default:
	}
}
