package identity

import (
	"context"
	"sync"
	"time"

	"lonja/kit/errs"
)

const (
	// maxHashWait is how long a caller may wait for a password to be hashed. It is far
	// below the timeout of a command.
	maxHashWait = 1500 * time.Millisecond
	// maxWaiting is how many callers may wait for each processor, however fast it is.
	maxWaiting = 32
)

// hashQueue lets as many passwords be hashed at once as there are processors, in the order
// in which their callers came. It admits only as many as will have their turn within
// maxHashWait. One client can take half of the places.
type hashQueue struct {
	size     func() int    // the number of places, at present
	slots    chan struct{} // one for each that is being hashed
	mu       sync.Mutex
	all      int
	byClient map[string]int // without those of client ""
}

// trust is how many quarters of the places may be taken when a client still gets one.
type trust int

const (
	suspected trust = 2 // gave a wrong password recently
	untrusted trust = 3
	trusted   trust = 4 // gave the right password before
)

// enter returns once it is the caller's turn; leave must be called when the password is
// hashed. It is RateLimited at once when no place is free, and after maxHashWait when hashing
// takes longer than expected. It is ctx's error when that ends first.
func (q *hashQueue) enter(ctx context.Context, client string, t trust) (leave func(), err error) {
	if !q.take(client, t) {
		return nil, errs.TooManyRequests(time.Second)
	}
	late := time.NewTimer(maxHashWait)
	defer late.Stop()
	select {
	case q.slots <- struct{}{}:
		return func() {
			<-q.slots
			q.release(client)
		}, nil
	case <-late.C:
		err = errs.TooManyRequests(time.Second)
	case <-ctx.Done():
		err = ctx.Err()
	}
	q.release(client)
	return nil, err
}

// take takes a place, and reports whether there was one.
func (q *hashQueue) take(client string, t trust) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	size := q.size()
	if q.all >= max(1, size*int(t)/4) || q.byClient[client] >= max(1, size/2) {
		return false
	}
	q.add(client, 1)
	return true
}

// release gives a place back.
func (q *hashQueue) release(client string) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.add(client, -1)
}

// add changes the counts. The caller holds the lock.
func (q *hashQueue) add(client string, n int) {
	q.all += n
	if client == "" {
		return
	}
	if q.byClient[client] += n; q.byClient[client] == 0 {
		delete(q.byClient, client)
	}
}
