package identity

import (
	"time"

	"lonja/events"
	"lonja/kit/decider"
	"lonja/kit/eventlog"
)

// sessionLife is how long after a login its refresh tokens are good.
const sessionLife = 30 * 24 * time.Hour

// repeatable is for how long a refresh token that was just replaced leads to the
// same successor once more. It is long enough for whoever heard no answer, and
// short for a thief. Later, or once the successor was used, it is taken for a
// theft.
const repeatable = 30 * time.Second

// session is the state that decisions about a login and what came of it are
// made on. Without an id there is none.
type session struct {
	id        events.SessionID
	user      events.UserID
	rotations int    // how often its refresh token was replaced
	tokenHash string // of the one refresh token that is good
	expiresAt time.Time
	ended     bool
	startedAt uint64 // where in the log it began,
	movedAt   uint64 // and where it moved last
	moved     time.Time
}

var sessionKind = decider.EntityType[session]{Subject: "events.session", Stream: "IDENTITY", Prefix: "ses_", EvolveRecord: evolveSession}

func evolveSession(s session, r eventlog.Record) session {
	switch e := r.Event.(type) {
	case events.SessionStarted:
		s = session{id: e.SessionID, user: e.UserID, tokenHash: e.TokenHash, expiresAt: e.ExpiresAt, startedAt: r.Sequence}
	case events.SessionRotated:
		s.rotations++
		s.tokenHash = e.TokenHash
	case events.SessionEnded:
		s.ended = true
	}
	s.movedAt, s.moved = r.Sequence, r.Time
	return s
}

// over reports whether no refresh token of the session is good any more.
func (s session) over(now time.Time) bool { return s.ended || !now.Before(s.expiresAt) }

// outlived reports whether the session began with a password that its user has
// replaced since.
func (s session) outlived(u user) bool { return s.startedAt < u.passwordAt }
