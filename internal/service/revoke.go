package service

import (
	"context"

	"lonja/internal/access"
	"lonja/internal/decider"
	"lonja/internal/eventlog"
	"lonja/internal/revocation"
)

// Revoke declares that the fact E ends the trust in the access tokens that a
// user was given before it.
func Revoke[E eventlog.Event](user func(E) string) Reflex { return &revoke[E]{user} }

type revoke[E eventlog.Event] struct{ user func(E) string }

func (r *revoke[E]) fact() string { var e E; return e.Fact() }

func (r *revoke[E]) access() access.Grant { return revocation.AccessToRevoke() }

func (r *revoke[E]) bind(*eventlog.Log, decider.Config) {}

// handle leaves alone what happened longer ago than any token lives: when the
// consumer is made anew, it brings all that ever happened.
func (r *revoke[E]) handle(ctx context.Context, _ decider.Wish, fact eventlog.Recorded, d *deps) error {
	if d.Clock().Sub(fact.Time) > revocation.Kept {
		return nil
	}
	return revocation.Revoke(ctx, d.js, r.user(fact.Event.(E)), fact.Sequence)
}
