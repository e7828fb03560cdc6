package query

import "lonja/events"

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

func (User) QueryName() string  { return "identity.user" }
func (Users) QueryName() string { return "identity.users" }
func (Keys) QueryName() string  { return "identity.keys" }

func (StreamTicket) QueryName() string { return "identity.stream_ticket" }
