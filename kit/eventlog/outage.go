package eventlog

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"lonja/kit/errs"
)

// recent is how long an append that failed tells something about the log when no
// other was tried since.
const recent = 10 * time.Second

// outages are the streams that took no event when they were last asked to.
//
// A stream that gives no answer within the patience of an append is in doubt: it
// may be this process that stood still. One that gives none to an append that was
// sent after that, either, is silent: from then on one append at a time asks it, and
// the others are refused at once instead of waiting for the same. Its first success
// ends that, and so does a new connection.
type outages struct {
	mu sync.Mutex
	of map[string]*outage
}

type outage struct {
	why    error     // an Unavailable refusal, nil while the stream takes events
	at     time.Time // when that was seen
	took   time.Time // when the stream last took an event
	doubt  time.Time // when an append first got no answer, zero when the last one did
	silent bool
	asking bool   // an append is asking a silent stream
	conn   uint64 // how often the connection had been made anew by then
}

// try is an append on its way.
type try struct {
	stream string
	sent   time.Time
	conn   uint64
	asks   bool // a silent stream, for all others
}

// admit lets an append go its way, or is the refusal that the stream is silent.
func (o *outages) admit(stream string, conn uint64) (try, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	t := try{stream: stream, sent: time.Now(), conn: conn}
	s := o.of[stream]
	if s == nil || !s.silent || s.conn != conn {
		return t, nil
	}
	if s.asking {
		return t, s.why
	}
	s.asking, t.asks = true, true
	return t, nil
}

// took notes that an append was recorded.
func (o *outages) took(t try) {
	o.note(t, func(s *outage) { *s = outage{took: time.Now()} })
}

// failed notes why an append was not, nil when that tells nothing of the stream.
// A silence tells nothing if the stream took another event meanwhile.
func (o *outages) failed(t try, why error) {
	o.note(t, func(s *outage) {
		if t.asks {
			s.asking = false
		}
		silent := errors.Is(why, context.DeadlineExceeded)
		switch {
		case why == nil, silent && s.took.After(t.sent):
			return
		case silent && !s.silent && (s.doubt.IsZero() || t.sent.Before(s.doubt)):
			if s.doubt.IsZero() {
				s.doubt = time.Now()
			}
			return
		case silent:
			s.why = errs.New(errs.Unavailable, "the log %s gives no answer; try again with the same id", t.stream)
		case errors.Is(why, jetstream.ErrNoStreamResponse):
			s.why = errs.New(errs.Unavailable, "the log %s is not there now; try again with the same id", t.stream)
		default:
			s.why = why
		}
		s.at, s.silent, s.conn = time.Now(), silent, t.conn
	})
}

func (o *outages) note(t try, change func(*outage)) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.of == nil {
		o.of = map[string]*outage{}
	}
	if o.of[t.stream] == nil {
		o.of[t.stream] = &outage{}
	}
	change(o.of[t.stream])
}

// Failing is why the publisher's streams take no events at present, nil while they
// do, and while nobody has tried lately.
func (p *Publisher) Failing() error {
	if why := stopped(storeOf(p.Store)); why != nil {
		return why
	}
	p.outages.mu.Lock()
	defer p.outages.mu.Unlock()
	for _, s := range p.outages.of {
		if s.why != nil && time.Since(s.at) < recent {
			return s.why
		}
	}
	return nil
}

// storeOf is a context that ends when the store stops taking events.
func storeOf(store func() context.Context) context.Context {
	if store == nil {
		return context.Background()
	}
	return store()
}

// stopped is why a store takes no events, nil while it does.
func stopped(store context.Context) error {
	if store.Err() == nil {
		return nil
	}
	return errs.New(errs.Unavailable, "the log takes no events now: %v", context.Cause(store))
}
