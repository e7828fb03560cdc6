package eventlog

import (
	"sync"

	"lonja/kit/errs"
)

// knownEnds holds the highest sequence of each stream that this process has recorded or
// read. A stream only grows. So if a new event gets a sequence that is not above the known
// end, the stream is another one that replaced it, or has lost its last messages.
type knownEnds struct {
	mu       sync.Mutex
	ends     map[string]uint64
	dataLoss error // why nothing is appended any more
}

// end returns the known end of a stream, 0 if nothing of it is known.
func (k *knownEnds) end(stream string) uint64 {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.ends[stream]
}

// raise notes that the stream holds a message at seq. A seq below the known end changes
// nothing, because the answering server may be behind.
func (k *knownEnds) raise(stream string, seq uint64) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.ends == nil {
		k.ends = map[string]uint64{}
	}
	k.ends[stream] = max(k.ends[stream], seq)
}

// setDataLoss notes that a stream stored an event at seq although it had reached known. It
// returns the error of the first loss.
func (k *knownEnds) setDataLoss(stream string, seq, known uint64) error {
	return k.stop(errs.New(errs.Unavailable,
		"the log %s stored an event at %d although it had reached %d: it was replaced or has lost events; restore it and start again", stream, seq, known))
}

// setWrongStream notes that another stream than the expected one stored an event at seq. It
// returns the error of the first loss.
func (k *knownEnds) setWrongStream(expected, stored string, seq uint64) error {
	return k.stop(errs.New(errs.Unavailable,
		"the stream %s stored an event at %d that belongs on %s: its subjects have changed; put them right and start again", stored, seq, expected))
}

// stop notes why nothing is appended any more. It returns the first reason.
func (k *knownEnds) stop(err error) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.dataLoss == nil {
		k.dataLoss = err
	}
	return k.dataLoss
}

// err returns the error of the first loss, nil if there was none.
func (k *knownEnds) err() error {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.dataLoss
}
