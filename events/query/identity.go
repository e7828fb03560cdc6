package query

import "lonja/events"

// User asks identity for one UserView.
type User struct {
	UserID events.UserID `json:"user_id"`
}

// Users asks for a List[UserView], oldest first. Email, when not empty, must
// be equal. Administrators only.
type Users struct {
	Email string `json:"email,omitempty"`
	Page
}

// Keys asks for the keys that access tokens are verified with, as a Keyset.
type Keys struct{}

// StreamTicket asks identity for a Ticket with which whoever asks may begin to
// follow one order, without their access token: a browser's EventSource cannot
// send that. Whether they may see the order is decided when they follow it.
type StreamTicket struct {
	OrderID events.OrderID `json:"order_id"`
	// Until is when the access token expires that asks, and with it every stream
	// that the ticket opens; in seconds since 1970.
	Until int64 `json:"until"`
}

// Ticket stands for its holder at one order's stream, and nowhere else.
type Ticket struct {
	Ticket    string `json:"ticket"`
	ExpiresIn int64  `json:"expires_in"` // seconds within which it opens the stream
}

// UserView is an account as its owner and administrators see it.
type UserView struct {
	ID    events.UserID `json:"id"`
	Name  string        `json:"name"`
	Email string        `json:"email"`
	Roles []string      `json:"roles"`
}

// Tokens is a logged-in account's answer.
type Tokens struct {
	User         UserView `json:"user"`
	AccessToken  string   `json:"access_token"`
	RefreshToken string   `json:"refresh_token"`
	TokenType    string   `json:"token_type"` // "Bearer"
	ExpiresIn    int64    `json:"expires_in"` // seconds that the access token is good for
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

func (User) QueryName() string  { return "identity.user" }
func (Users) QueryName() string { return "identity.users" }
func (Keys) QueryName() string  { return "identity.keys" }

func (StreamTicket) QueryName() string { return "identity.stream_ticket" }
