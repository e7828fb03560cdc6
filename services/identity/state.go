package identity

import (
	"cmp"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"slices"
	"strings"

	"lonja/events"
	"lonja/events/command"
	"lonja/events/query"
	"lonja/kit/decider"
	"lonja/kit/eventlog"
)

// user is the state of one account, on which its commands are decided. Without an id the
// account does not exist. One that was erased does not exist, either, and never will again.
type user struct {
	query.UserView
	emailID      events.UserID // the entity of the address
	passwordHash string
	passwordAt   uint64 // the sequence of the event that set the password
	firstHash    string // of the password that the account began with; see fingerprint
	plain        bool   // an earlier version recorded what identifies the person in plain text
	erased       bool
}

var userType = decider.EntityType[user]{Subject: "events.user", Stream: "IDENTITY", EvolveRecord: evolveUser,
	Erased: func(u user) bool { return u.erased }}

// evolveUser ignores the events of an address, which may be on the same subjects; see address.
func evolveUser(u user, r eventlog.Record) user {
	if u.erased || withheld(r.Event) {
		return user{erased: true}
	}
	switch e := r.Event.(type) {
	case events.UserRegistered:
		u = user{
			UserView: query.UserView{ID: e.UserID, Name: e.Name, Email: e.Email, Roles: e.Roles},
			emailID:  cmp.Or(e.EmailID, e.UserID), plain: slices.Contains(events.OlderTypes(), r.Type),
			passwordHash: e.PasswordHash, passwordAt: r.Sequence, firstHash: e.PasswordHash,
		}
	case events.UserPasswordChanged:
		u.passwordHash, u.passwordAt = e.PasswordHash, r.Sequence
	case events.UserEmailChanged:
		u.Email, u.emailID = e.Email, e.EmailID
	case events.UserProfileChanged:
		u.Name, u.Locale = e.Name, e.Locale
	case events.UserRolesChanged:
		u.Roles = e.Roles
	case events.UserSealed:
		u.plain = false
	case events.UserErased:
		return user{erased: true}
	}
	return u
}

// withheld reports that an event of a user can no longer be read: their key is destroyed, so
// they were erased, even if that event has not been read yet.
func withheld(event events.Event) bool {
	switch e := event.(type) {
	case events.UserRegistered:
		return e.Withheld
	case events.UserPasswordChanged:
		return e.Withheld
	case events.UserEmailChanged:
		return e.Withheld
	case events.UserProfileChanged:
		return e.Withheld
	case events.UserSealed:
		return e.Withheld
	}
	return false
}

func (u user) exists() bool { return u.ID != "" }

func (u user) hasRole(role string) bool { return slices.Contains(u.Roles, role) }

// view returns what is shown of the account. It shares nothing with the state.
func (u user) view() query.UserView {
	v := u.UserView
	v.Roles = slices.Clone(u.Roles)
	return v
}

// fingerprint returns the idempotency fingerprint of a command that tells something personal.
// It is recorded in plain text for ever, so it must not help to guess what the command said
// once the account is erased. It is keyed with the first hash of the password, which is
// forgotten with the account and does not change while that exists.
func (u user) fingerprint(command string, parts ...string) string {
	return hex.EncodeToString(mac([]byte(u.firstHash), command, strings.Join(parts, "\x00")))
}

// issuer is the state of the shop's one issuer: what the ids of addresses, salts and refresh
// tokens are derived with, and what access tokens are signed with. Its entity is called
// "realm" in subjects and event types, which are persisted, and so are the events' Go structs.
type issuer struct {
	opened bool
	secret []byte // nil before it is opened, and when its key is lost
	keys   keys
	admin  events.UserID
}

var issuerType = decider.EntityType[issuer]{Subject: "events.realm", Stream: "IDENTITY", EvolveRecord: evolveIssuer}

func evolveIssuer(iss issuer, r eventlog.Record) issuer {
	switch e := r.Event.(type) {
	case events.RealmOpened:
		if !iss.opened { // another secret would change every address's id
			iss.opened, iss.secret = true, e.Secret
		}
	case events.RealmKeyAdded:
		iss.keys = append(iss.keys, keyOf(e, r))
	case events.RealmAdminAppointed:
		iss.admin = e.UserID
	}
	return iss
}

// addressIDs returns the ids that the entity of an email address may have: first the one of a
// new claim, then those that earlier versions derived. Since the id follows from the address,
// two people cannot have the same one; since it is keyed, nobody can tell the address from
// the id.
func (iss issuer) addressIDs(email string) (ids []events.UserID) {
	for _, key := range command.EmailKeys(email) {
		ids = append(ids, userID(iss.mac("user", key)))
	}
	return ids
}

// userID returns the id of a user or an address that 16 bytes make.
func userID(bytes []byte) events.UserID {
	return events.UserID("usr_" + hex.EncodeToString(bytes[:16]))
}

// salt returns the salt for the password of a new account, by the entity of its address, or
// for another password of an account. It is the same every time, so that the same command
// leads to the same hash.
func (iss issuer) salt(id events.UserID) []byte { return iss.mac("salt", string(id))[:16] }

func (iss issuer) mac(purpose, text string) []byte { return mac(iss.secret, purpose, text) }

func mac(key []byte, purpose, text string) []byte {
	h := hmac.New(sha256.New, key)
	h.Write([]byte(purpose + "\x00" + text))
	return h.Sum(nil)
}
