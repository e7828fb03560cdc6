package client

import (
	"context"
	"errors"
	"sync"
	"time"
)

// Tokens is a user's session. The access token is good for minutes, the refresh
// token for weeks; each renewal replaces both.
type Tokens struct {
	User         User   `json:"user"`
	AccessToken  string `json:"access_token"`
	RefreshToken string `json:"refresh_token"`
	TokenType    string `json:"token_type"` // "Bearer"
	ExpiresIn    int64  `json:"expires_in"` // seconds that the access token is good for, from when it was signed
	// Expiry is when the access token expires, by this machine's clock. The client
	// sets it. When it is zero the token is used until the shop turns it down.
	Expiry time.Time `json:"expiry,omitzero"`
}

// session keeps a user's tokens fresh.
type session struct {
	email, password string        // to log in with, or ""
	changed         func(Tokens)  // or nil
	renewing        chan struct{} // held by the one that renews

	mu     sync.Mutex
	tokens Tokens
}

func newSession() *session { return &session{renewing: make(chan struct{}, 1)} }

const (
	// early is how long before its end an access token is renewed, at most a
	// quarter of its life.
	early = 30 * time.Second
	// refreshWithin bounds a renewal with all its retries. The shop gives the same
	// answer again for 30 s; a refresh token that comes later is taken for a stolen
	// one, and ends the session.
	refreshWithin = 25 * time.Second
)

// Tokens are those of the client's session, none when it has no session.
func (c *Client) Tokens() Tokens {
	c.session.mu.Lock()
	defer c.session.mu.Unlock()
	return c.session.tokens
}

func (s *session) accessToken() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.tokens.AccessToken
}

// renewable reports whether there is a way to another access token.
func (s *session) renewable() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.tokens.RefreshToken != "" || s.password != ""
}

// keep puts tokens in the place of those before.
func (s *session) keep(t Tokens) {
	s.mu.Lock()
	s.tokens = t
	s.mu.Unlock()
	if s.changed != nil {
		s.changed(t)
	}
}

// fresh is the access token if it is good for a while and not the refused one.
func (s *session) fresh(refused string) (token string, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	t := s.tokens
	if t.AccessToken == "" || t.AccessToken == refused {
		return "", false
	}
	ahead := min(early, time.Duration(t.ExpiresIn)*time.Second/4)
	return t.AccessToken, t.Expiry.IsZero() || time.Now().Add(ahead).Before(t.Expiry)
}

// bearer is an access token that is good for a while and not the refused one. One
// caller renews for all. Without a session it is "": the shop says what that means.
func (s *session) bearer(ctx context.Context, c *Client, refused string) (string, error) {
	if token, ok := s.fresh(refused); ok || !s.renewable() {
		return token, nil
	}
	select {
	case s.renewing <- struct{}{}:
		defer func() { <-s.renewing }()
	case <-ctx.Done():
		return "", ctx.Err()
	}
	if token, ok := s.fresh(refused); ok {
		return token, nil
	}
	if err := s.renew(ctx, c); err != nil {
		return "", err
	}
	return s.accessToken(), nil
}

// renew goes on with the session, or begins another one with the password.
func (s *session) renew(ctx context.Context, c *Client) error {
	if old := c.Tokens().RefreshToken; old != "" {
		_, err := c.refresh(ctx, old)
		if !errors.Is(err, Unauthenticated) {
			return err
		}
		if s.password == "" { // the session is over
			s.keep(Tokens{})
			return err
		}
	}
	_, err := c.logIn(ctx, s.email, s.password, nil)
	return err
}

// begin keeps the tokens of a login or a renewal that began when sent.
func (s *session) begin(t *Tokens, sent time.Time) {
	t.Expiry = sent.Add(time.Duration(t.ExpiresIn) * time.Second)
	s.keep(*t)
}
