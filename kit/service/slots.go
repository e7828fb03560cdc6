package service

import (
	"context"

	"golang.org/x/sync/semaphore"

	"lonja/kit/errs"
)

// maxQueries is how many queries of each kind a replica works on at once, and maxWaiting how
// many of all kinds wait for something to happen. A query that waits holds no slot of
// those that work. When too many wait, another one gets an error at once.
const (
	maxQueries = 1024
	maxWaiting = 4096
	// maxLookups is how many queries ask the log at once. Clients that ask for unknown ids
	// must not keep JetStream busy.
	maxLookups = 16
)

// slots are what the queries of a replica share.
type slots struct {
	waiting chan struct{}
	lookups chan struct{}       // slots to ask the log
	large   *semaphore.Weighted // bytes of large answers in the making
}

func newSlots() *slots {
	return &slots{make(chan struct{}, maxWaiting), make(chan struct{}, maxLookups), semaphore.NewWeighted(maxLargeAnswers)}
}

// slot is the place of one query, among those that work or those that wait.
type slot struct {
	*slots
	held chan struct{} // the channel that its place is in
	room int           // bytes that its answer may have
}

type slotKey struct{}

// ReleaseSlot gives a query's slot to others before the query waits for something to happen.
// The query then counts as waiting until it is answered. The error is Unavailable when too
// many wait already. Calling it again, or outside of a query, does nothing.
func ReleaseSlot(ctx context.Context) error {
	s, ok := ctx.Value(slotKey{}).(*slot)
	if !ok || s.held == s.waiting {
		return nil
	}
	select {
	case s.waiting <- struct{}{}:
	default:
		return errs.New(errs.Unavailable, "too many queries wait already; try again, or ask without waiting")
	}
	<-s.held
	s.held = s.waiting
	return nil
}

// AskLog waits until a query may ask the log: only a few may at a time. The query must call done
// afterwards. The error is Unavailable when ctx ends first, or too many wait already. Outside of a
// query it does not wait.
func AskLog(ctx context.Context) (done func(), err error) {
	s, ok := ctx.Value(slotKey{}).(*slot)
	if !ok {
		return func() {}, nil
	}
	select {
	case s.lookups <- struct{}{}:
		return func() { <-s.lookups }, nil
	default:
	}
	if err := ReleaseSlot(ctx); err != nil {
		return nil, err
	}
	select {
	case s.lookups <- struct{}{}:
		return func() { <-s.lookups }, nil
	case <-ctx.Done():
		return nil, errs.New(errs.Unavailable, "too many queries ask the log; try again")
	}
}

// release gives the place to others.
func (s *slot) release() { <-s.held }
