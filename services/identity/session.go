package identity

import (
	"time"

	"lonja/events"
	"lonja/internal/decider"
)

// sessionLife is how long after a login its refresh tokens are good.
const sessionLife = 30 * 24 * time.Hour

// session is the state that decisions about a login and what came of it are
// made on. Without an id there is none.
type session struct {
	id        events.SessionID
	user      events.UserID
	rotations int    // how often its refresh token was replaced
	tokenHash string // of the one refresh token that is good
	expiresAt time.Time
	ended     bool
	updatedAt time.Time
}

var sessionKind = decider.Kind[session]{Name: "session", Stream: "IDENTITY", Prefix: "ses_", Evolve: evolveSession}

func evolveSession(s session, fact events.Event, at time.Time) session {
	switch e := fact.(type) {
	case events.SessionStarted:
		s = session{id: e.SessionID, user: e.UserID, tokenHash: e.TokenHash, expiresAt: e.ExpiresAt}
	case events.SessionRotated:
		s.rotations++
		s.tokenHash = e.TokenHash
	case events.SessionEnded:
		s.ended = true
	}
	s.updatedAt = at
	return s
}

// over reports whether no refresh token of the session is good any more.
func (s session) over(now time.Time) bool { return s.ended || !now.Before(s.expiresAt) }
