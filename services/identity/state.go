package identity

import (
	"crypto/ed25519"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"slices"
	"time"

	"lonja/events"
	"lonja/events/command"
	"lonja/events/query"
	"lonja/kit/decider"
	"lonja/kit/eventlog"
)

// user is the state of one account, on which its commands are decided. Without an id the
// account does not exist.
type user struct {
	query.UserView
	passwordHash string
	passwordAt   uint64 // the sequence of the event that set the password
}

var userType = decider.EntityType[user]{Subject: "events.user", Stream: "IDENTITY", EvolveRecord: evolveUser}

func evolveUser(u user, r eventlog.Record) user {
	switch e := r.Event.(type) {
	case events.UserRegistered:
		u.UserView = query.UserView{ID: e.UserID, Name: e.Name, Email: e.Email, Roles: e.Roles}
		u.passwordHash, u.passwordAt = e.PasswordHash, r.Sequence
	case events.UserPasswordChanged:
		u.passwordHash, u.passwordAt = e.PasswordHash, r.Sequence
	case events.UserRolesChanged:
		u.Roles = e.Roles
	}
	return u
}

func (u user) exists() bool { return u.ID != "" }

func (u user) hasRole(role string) bool { return slices.Contains(u.Roles, role) }

// sessionLife is how long after the login a session's refresh tokens are valid.
const sessionLife = 30 * 24 * time.Hour

// repeatable is how long a refresh token that was just replaced still leads to the same
// successor. It is long enough for a client that lost the answer, and short for a thief.
// Later, or once the successor was used, the token counts as stolen.
const repeatable = 30 * time.Second

// session is the state of one login, on which its commands are decided. Without an id the
// session does not exist.
type session struct {
	id        events.SessionID
	user      events.UserID
	rotations int    // how often its refresh token was replaced
	tokenHash string // of the one refresh token that is valid
	expiresAt time.Time
	ended     bool
	startedAt uint64    // the sequence of its first event
	changedAt uint64    // the sequence of its last event
	changed   time.Time // the time of its last event
}

var sessionType = decider.EntityType[session]{Subject: "events.session", Stream: "IDENTITY", Prefix: "ses_", EvolveRecord: evolveSession}

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
	s.changedAt, s.changed = r.Sequence, r.Time
	return s
}

// over reports whether the session has ended or expired.
func (s session) over(now time.Time) bool { return s.ended || !now.Before(s.expiresAt) }

// outlived reports whether the session started with a password that its user has replaced
// since.
func (s session) outlived(u user) bool { return s.startedAt < u.passwordAt }

// issuer is the state of the shop's one issuer: what user ids, salts and refresh tokens are
// derived with, and what access tokens are signed with. Its entity is called "realm" in
// subjects and event types, which are persisted, and so are the events' Go structs.
type issuer struct {
	secret []byte
	keys   []key // oldest first; the last one signs
	admin  events.UserID
}

type key struct {
	id      string
	private ed25519.PrivateKey
}

var issuerType = decider.EntityType[issuer]{Subject: "events.realm", Stream: "IDENTITY", Evolve: evolveIssuer}

func evolveIssuer(iss issuer, event events.Event, _ time.Time) issuer {
	switch e := event.(type) {
	case events.RealmOpened:
		if iss.secret == nil { // another secret would change every user's id
			iss.secret = e.Secret
		}
	case events.RealmKeyAdded:
		iss.keys = append(iss.keys, key{e.KeyID, ed25519.NewKeyFromSeed(e.Seed)})
	case events.RealmAdminAppointed:
		iss.admin = e.UserID
	}
	return iss
}

// userIDs returns the ids that the user with an email address may have: first the one of a
// new account, then those that earlier versions gave. Since the id follows from the address,
// two people cannot register the same one; since it is keyed, nobody can tell the address
// from the id.
func (iss issuer) userIDs(email string) (ids []events.UserID) {
	for _, key := range command.EmailKeys(email) {
		ids = append(ids, events.UserID("usr_"+hex.EncodeToString(iss.mac("user", key)[:16])))
	}
	return ids
}

// salt returns the salt of a user's password. It is the same every time, so that the same
// registration leads to the same hash.
func (iss issuer) salt(id events.UserID) []byte { return iss.mac("salt", string(id))[:16] }

func (iss issuer) mac(purpose, text string) []byte {
	h := hmac.New(sha256.New, iss.secret)
	h.Write([]byte(purpose + "\x00" + text))
	return h.Sum(nil)
}

// keyID derives a key's id from its public half.
func keyID(seed []byte) string {
	sum := sha256.Sum256(ed25519.NewKeyFromSeed(seed).Public().(ed25519.PublicKey))
	return hex.EncodeToString(sum[:8])
}
