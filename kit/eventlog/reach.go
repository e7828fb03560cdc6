package eventlog

import (
	"sync"

	"lonja/kit/errs"
)

// reach is how far each stream is known to reach, by what this process has
// recorded and read. A log only grows: a new event whose sequence is not above all
// that was known before stands in another log, put in the place of the one that
// was there, or in one that lost its end.
type reach struct {
	mu   sync.Mutex
	ends map[string]uint64
	lost error
}

func (r *reach) of(stream string) uint64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.ends[stream]
}

// saw notes that there is something at seq. Whoever tells may be behind.
func (r *reach) saw(stream string, seq uint64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.ends == nil {
		r.ends = map[string]uint64{}
	}
	r.ends[stream] = max(r.ends[stream], seq)
}

// broke notes that a stream did not go on where it ended.
func (r *reach) broke(stream string, at, known uint64) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.lost == nil {
		r.lost = errs.New(errs.Unavailable,
			"the log %s went on at %d although it had reached %d: it is another one, or has lost facts; restore it and start again", stream, at, known)
	}
	return r.lost
}

// why is why nothing is recorded any more, nil while it is.
func (r *reach) why() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.lost
}

// Lost is why nothing is recorded any more: a stream was found to be another one
// than it was, or to have lost events. It is an Unavailable refusal, or nil.
func (l *Log) Lost() error { return l.reach.why() }
