package service

import (
	"context"

	"golang.org/x/sync/semaphore"

	"lonja/kit/errs"
)

// How many queries a replica works on at once, of each kind, and how many wait
// for something to happen, of all kinds. Who waits holds no slot of those who
// work; beyond the bound nobody waits for a place to wait in.
const (
	workingAtOnce = 1024
	waitingAtOnce = 4096
	// lookingAtOnce is how many queries look into the log: whoever asks for ids that
	// there are not must not keep JetStream from its work.
	lookingAtOnce = 16
)

// slots are what the queries of a replica share.
type slots struct {
	waiting chan struct{}
	looking chan struct{}       // turns to look into the log
	large   *semaphore.Weighted // bytes of the large answers that are being made
}

func newSlots() *slots {
	return &slots{make(chan struct{}, waitingAtOnce), make(chan struct{}, lookingAtOnce), semaphore.NewWeighted(largeAtOnce)}
}

// slot is a query's place: among those that are worked on, or among those that wait.
type slot struct {
	*slots
	held chan struct{} // where it has its place
	room int           // how many bytes its answer may have
}

type slotKey struct{}

// ReleaseSlot gives a query's slot to others before it waits for something to happen;
// the query keeps a place among those that wait until it is answered. It is an
// Unavailable refusal when too many do. Outside of a query it does nothing.
func ReleaseSlot(ctx context.Context) error {
	s, ok := ctx.Value(slotKey{}).(*slot)
	if !ok || s.held == s.waiting {
		return nil
	}
	select {
	case s.waiting <- struct{}{}:
	default:
		return errs.New(errs.Unavailable, "too many wait here already; try again, or ask without waiting")
	}
	<-s.held
	s.held = s.waiting
	return nil
}

// lookTurn waits until a query may look into the log, until done. It is an
// Unavailable refusal when that takes too long.
func lookTurn(ctx context.Context) (done func(), err error) {
	s, ok := ctx.Value(slotKey{}).(*slot)
	if !ok {
		return func() {}, nil
	}
	select {
	case s.looking <- struct{}{}:
		return func() { <-s.looking }, nil
	default:
	}
	if err := ReleaseSlot(ctx); err != nil {
		return nil, err
	}
	select {
	case s.looking <- struct{}{}:
		return func() { <-s.looking }, nil
	case <-ctx.Done():
		return nil, errs.New(errs.Unavailable, "too many ask for what is not there; try again")
	}
}

// leave gives the place up.
func (s *slot) leave() { <-s.held }
