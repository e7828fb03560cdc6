package service

import (
	"context"

	"lonja/kit/decider"
	"lonja/kit/eventlog"
	"lonja/kit/natsauth"
	"lonja/kit/revocation"
)

// RevokeTokens declares that the event E revokes the access tokens that were issued to a user
// before it. User returns the user's id. Revoking twice changes nothing.
func RevokeTokens[E eventlog.Event](user func(E) string) Handler { return &tokenRevoker[E]{user} }

// RevokeSession declares that the event E ends a session, and with it all access tokens that were
// issued for it. Session returns its id. Revoking twice changes nothing.
func RevokeSession[E eventlog.Event](session func(E) string) Handler {
	return &sessionRevoker[E]{tokenRevoker[E]{session}}
}

type tokenRevoker[E eventlog.Event] struct{ of func(E) string }

func (r *tokenRevoker[E]) eventName() string { var e E; return e.EventName() }

func (r *tokenRevoker[E]) permissions() natsauth.Permissions { return revocation.PermissionsToRevoke() }

func (r *tokenRevoker[E]) bind(*eventlog.Log, decider.Config) {}

// handle ignores events older than any token lives. When the consumer is created again, it
// delivers every event since the beginning.
func (r *tokenRevoker[E]) handle(ctx context.Context, _ decider.Command, event eventlog.Record, d *deps) error {
	if d.outlivesTokens(event) {
		return nil
	}
	return revocation.Revoke(ctx, d.js, r.of(event.Event.(E)), event.Sequence)
}

type sessionRevoker[E eventlog.Event] struct{ tokenRevoker[E] }

func (r *sessionRevoker[E]) handle(ctx context.Context, _ decider.Command, event eventlog.Record, d *deps) error {
	if d.outlivesTokens(event) {
		return nil
	}
	return revocation.RevokeSession(ctx, d.js, r.of(event.Event.(E)))
}

// outlivesTokens reports whether no token from before an event is valid any more.
func (d *deps) outlivesTokens(event eventlog.Record) bool {
	return d.Clock().Sub(event.Time) > revocation.Retention
}
