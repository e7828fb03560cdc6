package events

import "time"

// The roles that an account may have. An administrator may do whatever staff may.
const (
	Customer = "customer"
	Staff    = "staff"
	Admin    = "admin"
)

// StaffRoles are the roles of which one is enough to do the shop's work: staff's own,
// and an administrator's. It must not be changed.
var StaffRoles = []string{Staff, Admin}

// Personal data stands here and nowhere else: in UserRegistered, on a stream
// that only identity reads.

// UserRegistered begins an account.
type UserRegistered struct {
	UserID       UserID   `json:"user_id"`
	Name         string   `json:"name"`
	Email        string   `json:"email"`         // lower case
	PasswordHash string   `json:"password_hash"` // Argon2id, in PHC string form
	Roles        []string `json:"roles"`
}

// UserRolesChanged carries all roles that an account has from now on.
type UserRolesChanged struct {
	UserID UserID   `json:"user_id"`
	Roles  []string `json:"roles"`
}

// UserPasswordChanged says that another password is good from now on, and that
// no session which was started before is.
type UserPasswordChanged struct {
	UserID       UserID `json:"user_id"`
	PasswordHash string `json:"password_hash"` // as in UserRegistered
}

// SessionStarted says that somebody logged in. TokenHash is the SHA-256 of the
// one refresh token that is good until it is used or the session expires.
type SessionStarted struct {
	SessionID SessionID `json:"session_id"`
	UserID    UserID    `json:"user_id"`
	TokenHash string    `json:"token_hash"`
	ExpiresAt time.Time `json:"expires_at"`
}

// SessionRotated says that the refresh token was used and replaced.
type SessionRotated struct {
	SessionID SessionID `json:"session_id"`
	UserID    UserID    `json:"user_id"`
	TokenHash string    `json:"token_hash"`
}

// The reasons of a SessionEnded.
const (
	EndedByLogout = "logout"
	EndedByReuse  = "reuse" // a refresh token came a second time: one of the two holders is a thief
)

// SessionEnded makes every refresh token of the session worthless.
type SessionEnded struct {
	SessionID SessionID `json:"session_id"`
	UserID    UserID    `json:"user_id"`
	Reason    string    `json:"reason"`
}

// RealmID names the one realm in which a shop's accounts live.
const RealmID = "main"

// RealmOpened holds the secret that user ids and refresh tokens are derived
// with. It is recorded once, before the first account.
type RealmOpened struct {
	Secret []byte `json:"secret"`
}

// RealmKeyAdded adds a key that access tokens are signed with. The newest
// signs; all verify.
type RealmKeyAdded struct {
	KeyID string `json:"key_id"`
	Seed  []byte `json:"seed"` // Ed25519, 32 bytes
}

// RealmAdminAppointed says who the shop's first administrator is.
type RealmAdminAppointed struct {
	UserID UserID `json:"user_id"`
}

func (UserRegistered) EventName() string  { return "user.registered.v1" }
func (e UserRegistered) EntityID() string { return string(e.UserID) }
func (e UserRegistered) Check() error {
	return FirstOf(Token("user_id", e.UserID), Text("name", e.Name, 1, 200),
		Text("email", e.Email, 1, 254), Text("password_hash", e.PasswordHash, 1, 500), CheckRoles(e.Roles))
}

func (UserRolesChanged) EventName() string  { return "user.roles_changed.v1" }
func (e UserRolesChanged) EntityID() string { return string(e.UserID) }
func (e UserRolesChanged) Check() error {
	return FirstOf(Token("user_id", e.UserID), CheckRoles(e.Roles))
}

func (UserPasswordChanged) EventName() string  { return "user.password_changed.v1" }
func (e UserPasswordChanged) EntityID() string { return string(e.UserID) }
func (e UserPasswordChanged) Check() error {
	return FirstOf(Token("user_id", e.UserID), Text("password_hash", e.PasswordHash, 1, 500))
}

func (SessionStarted) EventName() string  { return "session.started.v1" }
func (e SessionStarted) EntityID() string { return string(e.SessionID) }
func (e SessionStarted) Check() error     { return checkSession(e.SessionID, e.UserID) }

func (SessionRotated) EventName() string  { return "session.rotated.v1" }
func (e SessionRotated) EntityID() string { return string(e.SessionID) }
func (e SessionRotated) Check() error     { return checkSession(e.SessionID, e.UserID) }

func (SessionEnded) EventName() string  { return "session.ended.v1" }
func (e SessionEnded) EntityID() string { return string(e.SessionID) }
func (e SessionEnded) Check() error     { return checkSession(e.SessionID, e.UserID) }

func (RealmOpened) EventName() string { return "realm.opened.v1" }
func (RealmOpened) EntityID() string  { return RealmID }
func (e RealmOpened) Check() error {
	if len(e.Secret) < 32 {
		return Wrong("secret", "must have at least 32 bytes")
	}
	return nil
}

func (RealmKeyAdded) EventName() string { return "realm.key_added.v1" }
func (RealmKeyAdded) EntityID() string  { return RealmID }
func (e RealmKeyAdded) Check() error {
	if len(e.Seed) != 32 {
		return Wrong("seed", "must have 32 bytes")
	}
	return Token("key_id", e.KeyID)
}

func (RealmAdminAppointed) EventName() string { return "realm.admin_appointed.v1" }
func (RealmAdminAppointed) EntityID() string  { return RealmID }
func (e RealmAdminAppointed) Check() error    { return Token("user_id", e.UserID) }

// CheckRoles is an error when there is no role or one that is none of
// Customer, Staff and Admin.
func CheckRoles(roles []string) error {
	if len(roles) == 0 {
		return Wrong("roles", "must not be empty")
	}
	for _, r := range roles {
		if r != Customer && r != Staff && r != Admin {
			return Wrong("roles", "must be of customer, staff and admin, not %q", r)
		}
	}
	return nil
}

func checkSession(id SessionID, user UserID) error {
	return FirstOf(Token("session_id", id), Token("user_id", user))
}
