package service

import (
	"context"
	"time"

	"lonja/kit/bus"
	"lonja/kit/decider"
	"lonja/kit/errs"
	"lonja/kit/eventlog"
	"lonja/kit/natsauth"
)

// Forget declares that with the event E the application forgets an owner: their deferred
// commands, and what dead letters hold of these and of the owner's own events, are overwritten
// on the server's disk; see bus.Forget. That happens within half a minute. Commands that wait
// for a service are not lost: the event comes again until they are handled. Forgetting twice
// changes nothing. An owner without an id means that the event concerns none.
//
// What events hold of an owner is forgotten by destroying the owner's key, and what views
// hold, by projections with projection.Tx.Erase.
func Forget[E eventlog.Event](owner func(E) bus.Owner) Handler { return &forgetter[E]{owner} }

type forgetter[E eventlog.Event] struct{ owner func(E) bus.Owner }

func (f *forgetter[E]) eventName() string { var e E; return e.EventName() }

func (f *forgetter[E]) permissions() natsauth.Permissions { return bus.PermissionsToForget() }

func (f *forgetter[E]) bind(*eventlog.Log, decider.Config) {}

// latestDeferral is how long after its sender was trusted for the last time a command may be
// deferred: a gateway waits for the service first.
const latestDeferral = 10 * time.Second

// handle succeeds when there is nothing left to find, so that it also finds what was stored
// while it was looking.
func (f *forgetter[E]) handle(ctx context.Context, _ decider.Command, event eventlog.Record, d *deps) error {
	owner := f.owner(event.Event.(E))
	if owner.ID == "" {
		return nil
	}
	if d.Clock().Sub(event.Time) < latestDeferral {
		return tooEarly{errs.New(errs.Unavailable, "an owner is forgotten when all of their commands have arrived")}
	}
	found, err := bus.Forget(ctx, d.js, d.Streams, owner, event)
	switch {
	case err != nil:
		return err
	case found.Pending > 0:
		return errs.New(errs.Unavailable, "%d messages of an owner who is to be forgotten are not handled yet", found.Pending)
	case found.Erased > 0:
		return tooEarly{errs.New(errs.Unavailable, "%d messages of an owner were erased, and there may be more", found.Erased)}
	}
	return nil
}

// tooEarly is an Unavailable error that is expected. Watermill's router logs what handlers
// return as errors, unless it is context.Canceled.
type tooEarly struct{ error }

func (tooEarly) Is(target error) bool { return target == context.Canceled }

func (e tooEarly) Unwrap() error { return e.error }
