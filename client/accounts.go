package client

import (
	"context"
	"encoding/json"
	"errors"
	"iter"
	"net/http"
	"net/url"
	"time"
)

// User is a user's account.
type User struct {
	ID    string   `json:"id"`
	Name  string   `json:"name"`
	Email string   `json:"email"`
	Roles []string `json:"roles"` // of Customer, Staff and Admin
	// Locale is the language to address the user in, as a BCP 47 tag such as "es-MX". It is
	// "" if the user has not chosen one.
	Locale string `json:"locale,omitempty"`
}

// Self is the client's own user, where a method takes a user's ID.
const Self = "me"

// The roles of users.
const (
	Customer = "customer"
	Staff    = "staff"
	Admin    = "admin"
)

// NewAccount is the account that Register opens.
type NewAccount struct {
	Name     string `json:"name"`
	Email    string `json:"email"`
	Password string `json:"password"`
}

// credentials is the body of a login.
type credentials struct {
	Email    string `json:"email"`
	Password string `json:"password"`
}

type refreshToken struct {
	RefreshToken string `json:"refresh_token"`
}

// Register opens an account and logs the client in. The error is [Conflict] if the email
// address has an account already, and [NotFound] if this is a call with the [Key] of an
// earlier one whose account was erased.
func (c *Client) Register(ctx context.Context, a NewAccount, options ...CallOption) (*Tokens, error) {
	sent, r := time.Now(), request{method: http.MethodPost, path: "/api/auth/register", body: a, keyed: true}
	res, err := c.do(ctx, r, options)
	switch {
	case err != nil:
		return nil, err
	case res.Replayed(): // the tokens in it may have been renewed or have expired since
		return c.logIn(ctx, a.Email, a.Password, nil)
	}
	t, err := decode[Tokens](r, res)
	if err == nil {
		c.session.begin(t, sent)
	}
	return t, err
}

// LogIn logs the client in: from now on it acts for that user. The error is
// [Unauthenticated] if email and password do not match, and [RateLimited] after too many
// attempts.
func (c *Client) LogIn(ctx context.Context, email, password string, options ...CallOption) (*Tokens, error) {
	return c.logIn(ctx, email, password, options)
}

func (c *Client) logIn(ctx context.Context, email, password string, options []CallOption) (*Tokens, error) {
	return c.authenticate(ctx, "/api/auth/login", credentials{email, password}, options)
}

// Refresh renews the session now. The new access token has the user's current roles. The
// error is [Unauthenticated] if the session has ended.
func (c *Client) Refresh(ctx context.Context, options ...CallOption) (*Tokens, error) {
	return c.refresh(ctx, c.Tokens().RefreshToken, options...)
}

func (c *Client) refresh(ctx context.Context, old string, options ...CallOption) (*Tokens, error) {
	ctx, cancel := context.WithTimeout(ctx, refreshWithin)
	defer cancel()
	return c.authenticate(ctx, "/api/auth/refresh", refreshToken{old}, options)
}

func (c *Client) authenticate(ctx context.Context, path string, body any, options []CallOption) (*Tokens, error) {
	sent := time.Now()
	t, err := call[Tokens](ctx, c, request{method: http.MethodPost, path: path, body: body}, options)
	if err != nil {
		return nil, err
	}
	c.session.begin(t, sent)
	return t, nil
}

// LogOut ends the session in the client and in the shop, and revokes its access and refresh
// tokens. It returns an error if there is no session. A client with WithPassword logs in
// again when a request requires it.
func (c *Client) LogOut(ctx context.Context, options ...CallOption) error {
	old := c.Tokens().RefreshToken
	if old == "" {
		return errors.New("lonja: log out: there is no session")
	}
	_, err := c.do(ctx, request{method: http.MethodPost, path: "/api/auth/logout", body: refreshToken{old}}, options)
	if err == nil {
		c.session.keep(Tokens{})
	}
	return err
}

// Me returns the current account of the client's user.
func (c *Client) Me(ctx context.Context, options ...CallOption) (*User, error) {
	got, err := call[struct{ User User }](ctx, c, request{method: http.MethodGet, path: "/api/auth/verify", user: true}, options)
	if err != nil {
		return nil, err
	}
	return &got.User, nil
}

// GetUser returns a user's account: one's own, or anybody's for administrators. The error is
// [NotFound] for others.
func (c *Client) GetUser(ctx context.Context, userID string, options ...CallOption) (*User, error) {
	return call[User](ctx, c, request{method: http.MethodGet, path: in("/api/users/", userID, ""), user: true}, options)
}

// ProfileChange is what ChangeProfile changes; nil leaves a field as it is.
type ProfileChange struct {
	Name   *string `json:"name,omitempty"`
	Locale *string `json:"locale,omitempty"` // "" is the shop's own language
}

// ChangeProfile changes what the client's user tells about themselves, and returns the account.
// UserID is [Self], or the user's ID: nobody can change another's profile.
func (c *Client) ChangeProfile(ctx context.Context, userID string, change ProfileChange, options ...CallOption) (*User, error) {
	return call[User](ctx, c, request{method: http.MethodPatch, path: in("/api/users/", userID, ""), user: true, keyed: true, body: change}, options)
}

// EmailChange is the address that ChangeEmail changes to.
type EmailChange struct {
	Email string `json:"email"`
	// Password is the user's own. Administrators leave it out when they change somebody
	// else's address.
	Password string `json:"password,omitempty"`
}

// ChangeEmail gives an account another email address, with which the user logs in from then
// on. The one before can be registered again, by anybody. The error is [Conflict] if the new
// address has an account already, [Forbidden] if the password is wrong, and [RateLimited]
// after too many attempts. A client with WithPassword must be made anew.
func (c *Client) ChangeEmail(ctx context.Context, userID string, change EmailChange, options ...CallOption) (*User, error) {
	return call[User](ctx, c, request{method: http.MethodPut, path: in("/api/users/", userID, "/email"), user: true, keyed: true, body: change}, options)
}

// UserExport is all that the shop keeps on a person.
type UserExport struct {
	ExportedAt time.Time     `json:"exported_at"`
	Account    AccountExport `json:"account"`
	Orders     []Order       `json:"orders"` // newest first
	// DeferredCommands are the requests of the last week that had to wait for a service,
	// oldest first.
	DeferredCommands []DeferredCommand `json:"deferred_commands"`
}

// DeferredCommand is a request that had to wait for a service, and its outcome.
type DeferredCommand struct {
	Outcome
	Command string          `json:"command"` // such as "orders.place"
	SentAt  time.Time       `json:"sent_at"`
	Body    json.RawMessage `json:"body"` // what was sent
}

// AccountExport is the account in a UserExport.
type AccountExport struct {
	User         User      `json:"user"`
	RegisteredAt time.Time `json:"registered_at"`
	Sessions     []Login   `json:"sessions"` // oldest first
	// History is what was recorded about the account, with earlier names and addresses. Oldest
	// first.
	History []AccountEvent `json:"history"`
}

// AccountEvent is something that happened to an account, with what was recorded of the person.
// Fields that are empty are not part of the event.
type AccountEvent struct {
	At     time.Time `json:"at"`
	Event  string    `json:"event"` // such as "user.profile_changed"
	Name   string    `json:"name,omitempty"`
	Email  string    `json:"email,omitempty"`
	Locale string    `json:"locale,omitempty"`
	Roles  []string  `json:"roles,omitempty"`
}

// Login is one session of a user.
type Login struct {
	ID         string     `json:"id"`
	StartedAt  time.Time  `json:"started_at"`
	LastUsedAt time.Time  `json:"last_used_at"` // when its tokens were last renewed
	ExpiresAt  time.Time  `json:"expires_at"`
	EndedAt    *time.Time `json:"ended_at,omitempty"` // nil while it has not been ended
}

// Export returns all that the shop keeps on a person: on oneself, or on anybody for
// administrators. What happened to each order is its [Client.OrderTimeline]. To hand the document to the person, take its bytes with [Into]: they hold
// what later versions of the shop add, too. The error is [Unavailable] if one of the shop's
// services cannot be asked; an export is never incomplete.
func (c *Client) Export(ctx context.Context, userID string, options ...CallOption) (*UserExport, error) {
	return call[UserExport](ctx, c, request{method: http.MethodGet, path: in("/api/users/", userID, "/export"), user: true}, options)
}

type erasure struct {
	Password string `json:"password,omitempty"`
}

// Erase erases an account: nothing that identifies the person can be read afterwards, and it
// does not come back. Their orders stay. The password is the user's own; administrators pass
// "" when they erase somebody else, and cannot erase themselves. The error is [Forbidden] if
// the password is wrong, and [RateLimited] after too many attempts.
//
// A user's access tokens end with the account. So [Unauthenticated] may mean that an earlier
// try has erased it and its response was lost: then a login fails, too.
func (c *Client) Erase(ctx context.Context, userID, password string, options ...CallOption) error {
	own := userID == Self || userID == c.Tokens().User.ID
	_, err := c.do(ctx, request{method: http.MethodDelete, path: in("/api/users/", userID, ""), user: true, keyed: true, body: erasure{password}}, options)
	if err == nil && own {
		c.session.keep(Tokens{})
	}
	return err
}

// Keys returns the JSON Web Key Set (RFC 7517) that verifies access tokens. It may be cached
// for five minutes.
func (c *Client) Keys(ctx context.Context, options ...CallOption) (json.RawMessage, error) {
	res, err := c.do(ctx, request{method: http.MethodGet, path: "/.well-known/jwks.json"}, options)
	if err != nil {
		return nil, err
	}
	return res.Body, nil
}

// UserQuery selects users.
type UserQuery struct {
	Email string // exact; "" for all
	Paging
}

// ListUsers returns one page of the users, oldest first. Administrators only.
func (c *Client) ListUsers(ctx context.Context, q UserQuery, options ...CallOption) (*List[User], error) {
	return call[List[User]](ctx, c, request{method: http.MethodGet, path: "/api/users", user: true,
		query: q.values(url.Values{"email": {q.Email}})}, options)
}

// AllUsers returns all users from q.Page on, see [Client.ListUsers]. It ends after an error.
func (c *Client) AllUsers(ctx context.Context, q UserQuery, options ...CallOption) iter.Seq2[User, error] {
	return all(q.Paging, func(p Paging) (*List[User], error) { q.Paging = p; return c.ListUsers(ctx, q, options...) })
}

// SetRoles replaces a user's roles. The user's access tokens are revoked; the next ones have
// the new roles. Administrators only.
func (c *Client) SetRoles(ctx context.Context, userID string, roles []string, options ...CallOption) (*User, error) {
	return call[User](ctx, c, request{method: http.MethodPut, path: in("/api/users/", userID, "/roles"), user: true,
		body: map[string][]string{"roles": roles}}, options)
}
