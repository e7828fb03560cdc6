package events

import "time"

// The roles of an account. An administrator may do everything that staff may.
const (
	Customer = "customer"
	Staff    = "staff"
	Admin    = "admin"
)

// StaffRoles are the roles that may do the shop's work; one of them is enough. It must not be
// changed.
var StaffRoles = []string{Staff, Admin}

// UserRegistered is recorded when an account is created. It is the only event with personal
// data, and its stream is read only by identity.
type UserRegistered struct {
	UserID       UserID   `json:"user_id"`
	Name         string   `json:"name" minLength:"1"`
	Email        string   `json:"email" minLength:"1"`         // lower case
	PasswordHash string   `json:"password_hash" minLength:"1"` // Argon2id, in PHC string form
	Roles        []string `json:"roles" minItems:"1" enum:"customer,staff,admin"`
}

// UserRolesChanged is recorded when an account gets other roles. It carries all of them.
type UserRolesChanged struct {
	UserID UserID   `json:"user_id"`
	Roles  []string `json:"roles" minItems:"1" enum:"customer,staff,admin"`
}

// UserPasswordChanged is recorded when an account gets a new password. Sessions that started
// before are no longer valid.
type UserPasswordChanged struct {
	UserID       UserID `json:"user_id"`
	PasswordHash string `json:"password_hash" minLength:"1"` // as in UserRegistered
}

// SessionStarted is recorded when a user logged in. TokenHash is the SHA-256, in hex, of the
// one refresh token that is valid until it is used or the session expires.
type SessionStarted struct {
	SessionID SessionID `json:"session_id"`
	UserID    UserID    `json:"user_id"`
	TokenHash string    `json:"token_hash"`
	ExpiresAt time.Time `json:"expires_at"`
}

// SessionRotated is recorded when the refresh token was used. TokenHash is that of the new one.
type SessionRotated struct {
	SessionID SessionID `json:"session_id"`
	UserID    UserID    `json:"user_id"`
	TokenHash string    `json:"token_hash"`
}

// Why a session ended: the values of SessionEnded.Reason.
const (
	EndedByLogout = "logout"
	EndedByReuse  = "reuse" // a refresh token was used a second time, so it may be stolen
)

// SessionEnded is recorded when a session ends. All its refresh tokens are invalid from then
// on.
type SessionEnded struct {
	SessionID SessionID `json:"session_id"`
	UserID    UserID    `json:"user_id"`
	Reason    string    `json:"reason"`
}

// The issuer of a shop's accounts and tokens is called "realm" in its events, since their
// names and subjects are recorded. Event structs are named after their events.

// RealmID is the id of the shop's one issuer.
const RealmID = "main"

// RealmOpened is recorded when the issuer is created: once, before the first account. User
// ids, salts and refresh tokens are derived with Secret.
type RealmOpened struct {
	Secret []byte `json:"secret" minLength:"44"`
}

// RealmKeyAdded is recorded when the issuer gets a key for access tokens. The newest key
// signs; all keys verify.
type RealmKeyAdded struct {
	KeyID string `json:"key_id"`
	Seed  []byte `json:"seed" minLength:"44" maxLength:"44"` // Ed25519, 32 bytes
}

// RealmAdminAppointed is recorded when the shop's first administrator is chosen, before their
// account is created.
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
		return InvalidField("secret", "must have at least 32 bytes")
	}
	return nil
}

func (RealmKeyAdded) EventName() string { return "realm.key_added.v1" }
func (RealmKeyAdded) EntityID() string  { return RealmID }
func (e RealmKeyAdded) Check() error {
	if len(e.Seed) != 32 {
		return InvalidField("seed", "must have 32 bytes")
	}
	return Token("key_id", e.KeyID)
}

func (RealmAdminAppointed) EventName() string { return "realm.admin_appointed.v1" }
func (RealmAdminAppointed) EntityID() string  { return RealmID }
func (e RealmAdminAppointed) Check() error    { return Token("user_id", e.UserID) }

// CheckRoles returns a *FieldError about "roles" when there is no role, or one other than
// Customer, Staff and Admin.
func CheckRoles(roles []string) error {
	if len(roles) == 0 {
		return InvalidField("roles", "must not be empty")
	}
	for _, r := range roles {
		if r != Customer && r != Staff && r != Admin {
			return InvalidField("roles", "must be customer, staff or admin, not %q", r)
		}
	}
	return nil
}

func checkSession(id SessionID, user UserID) error {
	return FirstOf(Token("session_id", id), Token("user_id", user))
}
