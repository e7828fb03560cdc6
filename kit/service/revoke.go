package service

import (
	"context"

	"lonja/kit/decider"
	"lonja/kit/eventlog"
	"lonja/kit/natsauth"
	"lonja/kit/revocation"
)

// Revoke declares that the event E ends the trust in the access tokens that a
// user was given before it.
func Revoke[E eventlog.Event](user func(E) string) Handler { return &revoker[E]{user} }

type revoker[E eventlog.Event] struct{ user func(E) string }

func (r *revoker[E]) eventName() string { var e E; return e.EventName() }

func (r *revoker[E]) permissions() natsauth.Permissions { return revocation.PermissionsToRevoke() }

func (r *revoker[E]) bind(*eventlog.Log, decider.Config) {}

// handle leaves alone what happened longer ago than any token lives: when the
// consumer is made anew, it brings all that ever happened.
func (r *revoker[E]) handle(ctx context.Context, _ decider.Command, event eventlog.Record, d *deps) error {
	if d.Clock().Sub(event.Time) > revocation.Retention {
		return nil
	}
	return revocation.Revoke(ctx, d.js, r.user(event.Event.(E)), event.Sequence)
}
