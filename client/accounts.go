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

// User is an account.
type User struct {
	ID    string   `json:"id"`
	Name  string   `json:"name"`
	Email string   `json:"email"`
	Roles []string `json:"roles"` // some of Customer, Staff and Admin
}

// The roles of users.
const (
	Customer = "customer"
	Staff    = "staff"
	Admin    = "admin"
)

// NewAccount is an account to open.
type NewAccount struct {
	Name     string `json:"name"`
	Email    string `json:"email"`
	Password string `json:"password"`
}

// credentials is what a login sends.
type credentials struct {
	Email    string `json:"email"`
	Password string `json:"password"`
}

type refreshToken struct {
	RefreshToken string `json:"refresh_token"`
}

// Register opens an account and logs the client in to it. It is a [Conflict] when
// the address has an account already.
func (c *Client) Register(ctx context.Context, a NewAccount, options ...CallOption) (*Tokens, error) {
	began, r := time.Now(), request{method: http.MethodPost, path: "/api/auth/register", body: a, keyed: true}
	res, err := c.do(ctx, r, options)
	switch {
	case err != nil:
		return nil, err
	case res.Replayed(): // with the tokens of then, which may have been renewed or have expired since
		return c.logIn(ctx, a.Email, a.Password, nil)
	}
	t, err := decode[Tokens](r, res)
	if err == nil {
		c.session.begin(t, began)
	}
	return t, err
}

// LogIn logs the client in: from now on it speaks for that user. It is
// [Unauthenticated] when address and password do not match, and [RateLimited]
// after too many attempts.
func (c *Client) LogIn(ctx context.Context, email, password string, options ...CallOption) (*Tokens, error) {
	return c.logIn(ctx, email, password, options)
}

func (c *Client) logIn(ctx context.Context, email, password string, options []CallOption) (*Tokens, error) {
	return c.authenticate(ctx, "/api/auth/login", credentials{email, password}, options)
}

// Refresh renews the session now. The new access token has the user's roles as
// they are now. It is [Unauthenticated] when the session has ended.
func (c *Client) Refresh(ctx context.Context, options ...CallOption) (*Tokens, error) {
	return c.refresh(ctx, c.Tokens().RefreshToken, options...)
}

func (c *Client) refresh(ctx context.Context, old string, options ...CallOption) (*Tokens, error) {
	ctx, cancel := context.WithTimeout(ctx, refreshWithin)
	defer cancel()
	return c.authenticate(ctx, "/api/auth/refresh", refreshToken{old}, options)
}

func (c *Client) authenticate(ctx context.Context, path string, body any, options []CallOption) (*Tokens, error) {
	began := time.Now()
	t, err := call[Tokens](ctx, c, request{method: http.MethodPost, path: path, body: body}, options)
	if err != nil {
		return nil, err
	}
	c.session.begin(t, began)
	return t, nil
}

// LogOut ends the session, here and at the shop: its access and refresh tokens
// are good for nothing from now on. A password that the client was made with is
// kept, and begins another session when one is needed.
func (c *Client) LogOut(ctx context.Context, options ...CallOption) error {
	old := c.Tokens().RefreshToken
	if old == "" {
		return errors.New("lonja: there is no session to end")
	}
	_, err := c.do(ctx, request{method: http.MethodPost, path: "/api/auth/logout", body: refreshToken{old}}, options)
	if err == nil {
		c.session.keep(Tokens{})
	}
	return err
}

// Me returns the account that the client speaks for, as it is now.
func (c *Client) Me(ctx context.Context, options ...CallOption) (*User, error) {
	got, err := call[struct{ User User }](ctx, c, request{method: http.MethodGet, path: "/api/auth/verify", user: true}, options)
	if err != nil {
		return nil, err
	}
	return &got.User, nil
}

// Keys returns the JSON Web Key Set to verify access tokens with, as libraries for
// them read it. It may be kept for five minutes.
func (c *Client) Keys(ctx context.Context, options ...CallOption) (json.RawMessage, error) {
	res, err := c.do(ctx, request{method: http.MethodGet, path: "/.well-known/jwks.json"}, options)
	if err != nil {
		return nil, err
	}
	return res.Body, nil
}

// UserQuery says which users are wanted.
type UserQuery struct {
	Email string // the one with this address
	Paging
}

// ListUsers returns one page of the users, oldest first. Administrators only.
func (c *Client) ListUsers(ctx context.Context, q UserQuery, options ...CallOption) (*List[User], error) {
	return call[List[User]](ctx, c, request{method: http.MethodGet, path: "/api/users", user: true,
		query: q.values(url.Values{"email": {q.Email}})}, options)
}

// AllUsers returns the users page by page, see [Client.ListUsers].
func (c *Client) AllUsers(ctx context.Context, q UserQuery, options ...CallOption) iter.Seq2[User, error] {
	return all(q.Paging, func(p Paging) (*List[User], error) { q.Paging = p; return c.ListUsers(ctx, q, options...) })
}

// SetRoles gives a user these roles, and takes the others. Their access tokens
// are revoked; the next ones have the new roles. Administrators only.
func (c *Client) SetRoles(ctx context.Context, userID string, roles []string, options ...CallOption) (*User, error) {
	return call[User](ctx, c, request{method: http.MethodPut, path: in("/api/users/", userID, "/roles"), user: true,
		body: map[string][]string{"roles": roles}}, options)
}
