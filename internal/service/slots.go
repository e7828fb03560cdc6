package service

import (
	"context"

	"lonja/internal/refusal"
)

// How many queries a replica works on at once, of each kind, and how many wait
// for something to happen, of all kinds. Who waits holds no slot of those who
// work; beyond the bound nobody waits for a place to wait in.
const (
	workingAtOnce = 1024
	waitingAtOnce = 4096
)

// slot is a query's place: among those that are worked on, or among those that wait.
type slot struct {
	held    chan struct{} // where it has its place
	waiting chan struct{}
}

type slotKey struct{}

// Aside gives a query's slot to others before it waits for something to happen;
// the query keeps a place among those that wait until it is answered. It is an
// Unavailable refusal when too many do. Outside of a query it does nothing.
func Aside(ctx context.Context) error {
	s, ok := ctx.Value(slotKey{}).(*slot)
	if !ok || s.held == s.waiting {
		return nil
	}
	select {
	case s.waiting <- struct{}{}:
	default:
		return refusal.New(refusal.Unavailable, "too many wait here already; try again, or ask without waiting")
	}
	<-s.held
	s.held = s.waiting
	return nil
}

// leave gives the place up.
func (s *slot) leave() { <-s.held }
