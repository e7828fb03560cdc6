package query

import (
	"time"

	"lonja/events"
)

// User asks identity for one UserView.
type User struct {
	UserID events.UserID `json:"user_id"`
}

// Users asks identity for a List[UserView], oldest account first. Email, when not empty, must
// be equal. Administrators only.
type Users struct {
	Email string `json:"email,omitempty"`
	Page
}

// UserExport asks identity for a UserExportView: all that it keeps on a person. The user
// themselves and administrators only.
type UserExport struct {
	UserID events.UserID `json:"user_id"`
}

// Keys asks identity for the keys that verify access tokens, as a Keyset.
type Keys struct{}

// StreamTicket asks identity for a Ticket, with which the actor can open one order's stream
// without an access token: a browser's EventSource cannot send one. Whether the actor may
// see the order is checked when the stream is opened.
type StreamTicket struct {
	OrderID events.OrderID `json:"order_id"`
	// Until is when the actor's access token expires, in seconds since 1970. Every stream
	// that the ticket opens ends then.
	Until int64 `json:"until" required:"false"`
}

// Ticket replaces its holder's access token at one order's stream, and nowhere else.
type Ticket struct {
	Ticket    string `json:"ticket"`
	ExpiresIn int64  `json:"expires_in"` // how many seconds it can open the stream
}

// UserView is an account as its owner and administrators see it.
type UserView struct {
	ID    events.UserID `json:"id"`
	Name  string        `json:"name"`
	Email string        `json:"email"`
	Roles []string      `json:"roles"`
	// Locale is the language that the user wants to be addressed in, as a BCP 47 tag. It is
	// empty until they choose one.
	Locale string `json:"locale,omitempty"`
}

// UserExportView is what identity keeps on a person.
type UserExportView struct {
	User         UserView      `json:"user"`
	RegisteredAt time.Time     `json:"registered_at"`
	Sessions     []SessionView `json:"sessions"` // oldest first
	// History is what was recorded about the account, with earlier names and addresses. Oldest
	// first.
	History []AccountEvent `json:"history"`
}

// AccountEvent is one event of an account with the personal data that it holds, but for hashes
// of passwords. A member that is missing is not part of the event.
type AccountEvent struct {
	At     time.Time `json:"at"`
	Event  string    `json:"event" example:"user.profile_changed"` // without its version
	Name   string    `json:"name,omitempty"`
	Email  string    `json:"email,omitempty"`
	Locale string    `json:"locale,omitempty"`
	Roles  []string  `json:"roles,omitempty"`
}

// SessionView is one login of a user.
type SessionView struct {
	ID         events.SessionID `json:"id"`
	StartedAt  time.Time        `json:"started_at"`
	LastUsedAt time.Time        `json:"last_used_at"` // when its tokens were last renewed
	ExpiresAt  time.Time        `json:"expires_at"`
	EndedAt    *time.Time       `json:"ended_at,omitempty"` // missing while it has not been ended
}

// Tokens is the answer to a login and a refresh.
type Tokens struct {
	User         UserView `json:"user"`
	AccessToken  string   `json:"access_token"`
	RefreshToken string   `json:"refresh_token"`
	TokenType    string   `json:"token_type"` // "Bearer"
	ExpiresIn    int64    `json:"expires_in"` // how many seconds the access token is valid
}

// Keyset is a JSON Web Key Set.
type Keyset struct {
	Keys []Key `json:"keys"`
}

// Key is an Ed25519 public key as a JSON Web Key.
type Key struct {
	KeyType   string `json:"kty"` // "OKP"
	Curve     string `json:"crv"` // "Ed25519"
	Algorithm string `json:"alg"` // "EdDSA"
	Use       string `json:"use"` // "sig"
	KeyID     string `json:"kid"`
	X         string `json:"x"` // base64url without padding
}

// SigningKey is the answer to a rotation of the keys for access tokens: the newest key.
type SigningKey struct {
	KeyID    string    `json:"kid"`
	ActiveAt time.Time `json:"active_at"` // from when it signs
}

func (User) QueryName() string       { return "identity.user" }
func (Users) QueryName() string      { return "identity.users" }
func (UserExport) QueryName() string { return "identity.export" }
func (Keys) QueryName() string       { return "identity.keys" }

func (StreamTicket) QueryName() string { return "identity.stream_ticket" }
