package identity

import (
	"context"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"lonja/events"
	"lonja/kit/decider"
	"lonja/kit/eventlog"
)

// sessionLife is how long after the login a session's refresh tokens are valid. The stream of
// sessions keeps their events a day longer.
const sessionLife = 30 * 24 * time.Hour

// repeatable is how long a refresh token that was just replaced still leads to the same
// successor. It is long enough for a client that lost the answer, and short for a thief.
// Later, or once the successor was used, the token counts as stolen.
const repeatable = 30 * time.Second

// session is the state of one login, on which its commands are decided. Without an id the
// session does not exist, or not any more.
type session struct {
	id        events.SessionID
	user      events.UserID
	rotations int    // how often its refresh token was replaced
	tokenHash string // of the one refresh token that is valid
	startedAt time.Time
	expiresAt time.Time
	ended     bool
	since     uint64    // on IDENTITY: a password that was set later ends the session
	position  uint64    // on IDENTITY: up to where its access token knows
	changed   time.Time // the time of its last event
}

// sessionsStream holds the sessions. It removes their events by age, so each has all there is to
// know. A session of an earlier version stays on IDENTITY until it is over.
const sessionsStream, formerSessionPrefix = "SESSIONS", "ses_"

var sessionType = decider.EntityType[session]{Subject: "events.login", Stream: sessionsStream, Prefix: "lgn_", EvolveRecord: evolveSession, Expires: true,
	Former: &decider.Former{Subject: "events.session", Stream: "IDENTITY", Prefix: formerSessionPrefix}}

func evolveSession(s session, r eventlog.Record) session {
	switch e := r.Event.(type) {
	case events.LoginStarted:
		s = sessionOf(e.Login)
	case events.LoginRefreshed:
		s = sessionOf(e.Login)
	case events.LoginEnded:
		s = sessionOf(e.Login)
		s.ended = true
	case events.SessionStarted: // this and its successors are on IDENTITY themselves
		s = session{id: e.SessionID, user: e.UserID, tokenHash: e.TokenHash, startedAt: r.Time, expiresAt: e.ExpiresAt, since: r.Sequence, position: r.Sequence}
	case events.SessionRotated:
		s.rotations++
		s.tokenHash, s.position = e.TokenHash, r.Sequence
	case events.SessionEnded:
		s.ended, s.position = true, r.Sequence
	}
	s.changed = r.Time
	return s
}

// sessionOf returns the state that an event describes.
func sessionOf(l events.Login) session {
	return session{id: l.SessionID, user: l.UserID, rotations: l.Refreshes, tokenHash: l.TokenHash,
		startedAt: l.StartedAt, expiresAt: l.ExpiresAt, since: l.PasswordAt, position: l.Position}
}

// login is the opposite of sessionOf.
func (s session) login() events.Login {
	return events.Login{SessionID: s.id, UserID: s.user, Refreshes: s.rotations, TokenHash: s.tokenHash,
		StartedAt: s.startedAt, ExpiresAt: s.expiresAt, PasswordAt: s.since, Position: s.position}
}

// isFormer reports whether a session is recorded as earlier versions do.
func isFormer(id events.SessionID) bool { return strings.HasPrefix(string(id), formerSessionPrefix) }

// refreshed returns the event of a new refresh token, by its hash, and of an access token that
// knows IDENTITY up to a position.
func (s session) refreshed(hash string, position uint64) events.Event {
	if isFormer(s.id) {
		return events.SessionRotated{SessionID: s.id, UserID: s.user, TokenHash: hash}
	}
	l := s.login()
	l.TokenHash, l.Refreshes, l.Position = hash, s.rotations+1, max(position, s.position)
	return events.LoginRefreshed{Login: l}
}

// end returns the event of the session's end.
func (s session) end(reason string) events.Event {
	if isFormer(s.id) {
		return events.SessionEnded{SessionID: s.id, UserID: s.user, Reason: reason}
	}
	return events.LoginEnded{Login: s.login(), Reason: reason}
}

// over reports whether the session has ended or expired.
func (s session) over(now time.Time) bool { return s.ended || !now.Before(s.expiresAt) }

// outlived reports whether the session started with a password that its user has replaced
// since.
func (s session) outlived(u user) bool { return s.since < u.passwordAt }

// beginnings tells where new sessions are recorded. Replicas of earlier versions do not know the
// stream of sessions, and would tell somebody who logged in elsewhere that there is no such session. So as long as there
// may be one, new sessions are recorded as it does.
type beginnings struct {
	introduced func(context.Context) (bool, error) // whether every replica reads the stream

	onStream atomic.Bool
	checking sync.Mutex
	checked  time.Time // used inside checking
}

// beginningsInterval is how often a login may ask again whether earlier versions are gone. Upkeep asks
// whether one came back.
const beginningsInterval = time.Second

// former reports whether a new session is recorded as earlier versions do.
func (b *beginnings) former(ctx context.Context) bool {
	if !b.onStream.Load() && b.checking.TryLock() {
		if time.Since(b.checked) >= beginningsInterval {
			_ = b.check(ctx) // until it is known, there may be one
			b.checked = time.Now()
		}
		b.checking.Unlock()
	}
	return !b.onStream.Load()
}

// check finds out whether replicas of earlier versions run. After an error, there may be one.
func (b *beginnings) check(ctx context.Context) error {
	introduced, err := b.introduced(ctx)
	b.onStream.Store(err == nil && introduced)
	return err
}
