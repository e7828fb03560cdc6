package events

import "time"

// The roles of an account. An administrator may do everything that staff may.
const (
	Customer = "customer"
	Staff    = "staff"
	Admin    = "admin"
)

// MaxLocale is the maximum length of an account's locale in characters.
const MaxLocale = 35

// StaffRoles are the roles that may do the shop's work; one of them is enough. It must not be
// changed.
var StaffRoles = []string{Staff, Admin}

// UserRegistered is recorded when an account is created.
type UserRegistered struct {
	Sealed
	UserID       UserID   `json:"user_id"`
	Name         string   `json:"name,omitempty" sealed:"true" minLength:"1"`
	Email        string   `json:"email,omitempty" sealed:"true" minLength:"1"`         // lower case
	PasswordHash string   `json:"password_hash,omitempty" sealed:"true" minLength:"1"` // Argon2id, in PHC string form
	Roles        []string `json:"roles" minItems:"1" enum:"customer,staff,admin"`
	// EmailID is the entity that keeps the address for this account. The first administrator's
	// account and those of earlier versions have none: they are that entity themselves.
	EmailID UserID `json:"email_id,omitempty"`
}

// UserEmailClaimed is recorded when an address is taken for an account, before the account has
// it. It is an event of the address, whose id is a keyed hash of it and has the form of a
// user's: earlier versions gave that id to the account itself, so an address has one account
// whichever version registered it. When the account is new, the event holds all that the
// account begins with; otherwise it holds only the address.
type UserEmailClaimed struct {
	Sealed
	EmailID      UserID   `json:"email_id"`
	UserID       UserID   `json:"user_id"`
	Email        string   `json:"email,omitempty" sealed:"true" minLength:"1"`
	Name         string   `json:"name,omitempty" sealed:"true"`
	PasswordHash string   `json:"password_hash,omitempty" sealed:"true"`
	Roles        []string `json:"roles,omitempty" enum:"customer,staff,admin"` // empty when the account exists
}

// UserEmailReleased is recorded when an address is no longer an account's. Anybody may claim it
// again. Like UserEmailClaimed, it is an event of the address.
type UserEmailReleased struct {
	EmailID UserID `json:"email_id"`
	UserID  UserID `json:"user_id"` // who had it
}

// UserEmailChanged is recorded when an account gets another address.
type UserEmailChanged struct {
	Sealed
	UserID   UserID `json:"user_id"`
	Email    string `json:"email,omitempty" sealed:"true" minLength:"1"`
	EmailID  UserID `json:"email_id"`
	Previous UserID `json:"previous_email_id"` // the entity of the address before
}

// UserProfileChanged is recorded when a user changed their profile. It carries all of it.
type UserProfileChanged struct {
	Sealed
	UserID UserID `json:"user_id"`
	Name   string `json:"name,omitempty" sealed:"true" minLength:"1"`
	Locale string `json:"locale,omitempty"` // a BCP 47 language tag; empty means the shop's
}

// UserSealed is recorded when an account that an earlier version recorded in plain text is
// recorded again, sealed. It changes nothing about the account.
type UserSealed struct {
	Sealed
	UserID       UserID `json:"user_id"`
	Name         string `json:"name,omitempty" sealed:"true" minLength:"1"`
	Email        string `json:"email,omitempty" sealed:"true" minLength:"1"`
	PasswordHash string `json:"password_hash,omitempty" sealed:"true" minLength:"1"`
}

// UserErased is recorded when an account is erased. Whoever reads it forgets what identified
// the person; the key of what the log holds of them is destroyed.
type UserErased struct {
	UserID  UserID `json:"user_id"`
	EmailID UserID `json:"email_id"` // the entity of their address, to be released
}

// UserRolesChanged is recorded when an account gets other roles. It carries all of them.
type UserRolesChanged struct {
	UserID UserID   `json:"user_id"`
	Roles  []string `json:"roles" minItems:"1" enum:"customer,staff,admin"`
}

// UserPasswordChanged is recorded when an account gets a new password. Sessions that started
// before are no longer valid.
type UserPasswordChanged struct {
	Sealed
	UserID       UserID `json:"user_id"`
	PasswordHash string `json:"password_hash,omitempty" sealed:"true" minLength:"1"` // as in UserRegistered
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

// RealmOpened is recorded when the issuer is created: once, before the first account. The ids
// of addresses, salts and refresh tokens are derived with Secret.
type RealmOpened struct {
	Sealed
	Secret []byte `json:"secret,omitempty" sealed:"true" minLength:"44"`
}

// RealmKeyAdded is recorded when the issuer gets a key for access tokens. The newest key that
// is active signs. A key verifies from when it is recorded until all tokens that it signed have
// expired.
type RealmKeyAdded struct {
	Sealed
	KeyID     string    `json:"key_id"`
	Seed      []byte    `json:"seed,omitempty" sealed:"true" minLength:"44" maxLength:"44"` // Ed25519, 32 bytes
	PublicKey []byte    `json:"public_key" minLength:"44" maxLength:"44"`                   // Ed25519, 32 bytes
	ActiveAt  time.Time `json:"active_at"`                                                  // from when it signs
}

// RealmAdminAppointed is recorded when the shop's first administrator is chosen, before their
// account is created.
type RealmAdminAppointed struct {
	UserID UserID `json:"user_id"`
}

func (UserRegistered) EventName() string  { return "user.registered.v2" }
func (e UserRegistered) EntityID() string { return string(e.UserID) }
func (e UserRegistered) KeyOwner() string { return string(e.UserID) }
func (e UserRegistered) Check() error {
	return FirstOf(Token("user_id", e.UserID), optionalToken("email_id", e.EmailID), CheckRoles(e.Roles),
		e.unlessWithheld(Text("name", e.Name, 1, 200), checkEmail(e.Email), checkHash(e.PasswordHash)))
}

func (UserEmailClaimed) EventName() string  { return "user.email_claimed.v1" }
func (e UserEmailClaimed) EntityID() string { return string(e.EmailID) }
func (e UserEmailClaimed) KeyOwner() string { return string(e.UserID) }
func (e UserEmailClaimed) Check() error {
	err := FirstOf(Token("email_id", e.EmailID), Token("user_id", e.UserID), e.unlessWithheld(checkEmail(e.Email)))
	if err != nil || len(e.Roles) == 0 {
		return err
	}
	return FirstOf(CheckRoles(e.Roles), e.unlessWithheld(Text("name", e.Name, 1, 200), checkHash(e.PasswordHash)))
}

func (UserEmailReleased) EventName() string  { return "user.email_released.v1" }
func (e UserEmailReleased) EntityID() string { return string(e.EmailID) }
func (e UserEmailReleased) Check() error {
	return FirstOf(Token("email_id", e.EmailID), Token("user_id", e.UserID))
}

func (UserEmailChanged) EventName() string  { return "user.email_changed.v1" }
func (e UserEmailChanged) EntityID() string { return string(e.UserID) }
func (e UserEmailChanged) KeyOwner() string { return string(e.UserID) }
func (e UserEmailChanged) Check() error {
	return FirstOf(Token("user_id", e.UserID), Token("email_id", e.EmailID), Token("previous_email_id", e.Previous),
		e.unlessWithheld(checkEmail(e.Email)))
}

func (UserProfileChanged) EventName() string  { return "user.profile_changed.v1" }
func (e UserProfileChanged) EntityID() string { return string(e.UserID) }
func (e UserProfileChanged) KeyOwner() string { return string(e.UserID) }
func (e UserProfileChanged) Check() error {
	return FirstOf(Token("user_id", e.UserID), Text("locale", e.Locale, 0, MaxLocale), e.unlessWithheld(Text("name", e.Name, 1, 200)))
}

func (UserSealed) EventName() string  { return "user.sealed.v1" }
func (e UserSealed) EntityID() string { return string(e.UserID) }
func (e UserSealed) KeyOwner() string { return string(e.UserID) }
func (e UserSealed) Check() error {
	return FirstOf(Token("user_id", e.UserID),
		e.unlessWithheld(Text("name", e.Name, 1, 200), checkEmail(e.Email), checkHash(e.PasswordHash)))
}

func (UserErased) EventName() string  { return "user.erased.v1" }
func (e UserErased) EntityID() string { return string(e.UserID) }
func (e UserErased) Check() error {
	return FirstOf(Token("user_id", e.UserID), Token("email_id", e.EmailID))
}

func (UserRolesChanged) EventName() string  { return "user.roles_changed.v1" }
func (e UserRolesChanged) EntityID() string { return string(e.UserID) }
func (e UserRolesChanged) Check() error {
	return FirstOf(Token("user_id", e.UserID), CheckRoles(e.Roles))
}

func (UserPasswordChanged) EventName() string  { return "user.password_changed.v2" }
func (e UserPasswordChanged) EntityID() string { return string(e.UserID) }
func (e UserPasswordChanged) KeyOwner() string { return string(e.UserID) }
func (e UserPasswordChanged) Check() error {
	return FirstOf(Token("user_id", e.UserID), e.unlessWithheld(checkHash(e.PasswordHash)))
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

func (RealmOpened) EventName() string { return "realm.opened.v2" }
func (RealmOpened) EntityID() string  { return RealmID }
func (RealmOpened) KeyOwner() string  { return "realm" }
func (e RealmOpened) Check() error {
	if len(e.Secret) < 32 && !e.Withheld {
		return InvalidField("secret", "must have at least 32 bytes")
	}
	return nil
}

func (RealmKeyAdded) EventName() string  { return "realm.key_added.v2" }
func (RealmKeyAdded) EntityID() string   { return RealmID }
func (e RealmKeyAdded) KeyOwner() string { return "key_" + e.KeyID }
func (e RealmKeyAdded) Check() error {
	switch {
	case len(e.Seed) != 32 && !e.Withheld:
		return InvalidField("seed", "must have 32 bytes")
	case len(e.PublicKey) != 32:
		return InvalidField("public_key", "must have 32 bytes")
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
			return InvalidField("roles", "must be customer, staff or admin")
		}
	}
	return nil
}

func checkSession(id SessionID, user UserID) error {
	return FirstOf(Token("session_id", id), Token("user_id", user))
}

func checkEmail(email string) error { return Text("email", email, 1, 254) }

func checkHash(hash string) error { return Text("password_hash", hash, 1, 500) }

// optionalToken is Token for an id that may be empty.
func optionalToken[T ~string](field string, id T) error {
	if id == "" {
		return nil
	}
	return Token(field, id)
}
