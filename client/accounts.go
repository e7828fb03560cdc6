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
}

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
// address has an account already.
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
