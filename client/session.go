package client

import (
	"context"
	"errors"
	"sync"
	"time"
)

// Tokens is a user's session. The access token is valid for minutes, the refresh token for
// weeks; each renewal replaces both.
type Tokens struct {
	User         User   `json:"user"`
	AccessToken  string `json:"access_token"`
	RefreshToken string `json:"refresh_token"`
	TokenType    string `json:"token_type"` // "Bearer"
	ExpiresIn    int64  `json:"expires_in"` // lifetime of the access token in seconds, from when it was signed
	// Expiry is when the access token expires, by this machine's clock. The client sets
	// it. If it is zero, the token is used until the shop rejects it.
	Expiry time.Time `json:"expiry,omitzero"`
}

// session holds a user's tokens and renews them.
type session struct {
	email, password string        // for a new login; "" if there is no password
	changed         func(Tokens)  // may be nil
	renewing        chan struct{} // of capacity one; held during a renewal

	mu     sync.Mutex
	tokens Tokens
}

func newSession() *session { return &session{renewing: make(chan struct{}, 1)} }

const (
	// early is how long before its expiry an access token is renewed, but at most a quarter
	// of its lifetime.
	early = 30 * time.Second
	// refreshWithin bounds a renewal with all its retries. The shop gives the same response
	// to a repeated refresh token for 30 s; after that it treats the token as stolen and
	// ends the session.
	refreshWithin = 25 * time.Second
)

// Tokens returns the tokens of the client's session, the zero Tokens if it has none.
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

// renewable reports whether the client can get another access token.
func (s *session) renewable() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.tokens.RefreshToken != "" || s.password != ""
}

// keep replaces the tokens.
func (s *session) keep(t Tokens) {
	s.mu.Lock()
	s.tokens = t
	s.mu.Unlock()
	if s.changed != nil {
		s.changed(t)
	}
}

// fresh returns the access token, if it does not expire soon and is not the rejected one.
func (s *session) fresh(rejected string) (token string, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	t := s.tokens
	if t.AccessToken == "" || t.AccessToken == rejected {
		return "", false
	}
	ahead := min(early, time.Duration(t.ExpiresIn)*time.Second/4)
	return t.AccessToken, t.Expiry.IsZero() || time.Now().Add(ahead).Before(t.Expiry)
}

// bearer returns an access token that does not expire soon and is not the rejected one. One
// caller renews it for all. Without a session it returns "", and the shop answers 401.
func (s *session) bearer(ctx context.Context, c *Client, rejected string) (string, error) {
	if token, ok := s.fresh(rejected); ok || !s.renewable() {
		return token, nil
	}
	select {
	case s.renewing <- struct{}{}:
		defer func() { <-s.renewing }()
	case <-ctx.Done():
		return "", ctx.Err()
	}
	if token, ok := s.fresh(rejected); ok {
		return token, nil
	}
	if err := s.renew(ctx, c); err != nil {
		return "", err
	}
	return s.accessToken(), nil
}

// renew refreshes the session, or starts another one with the password.
func (s *session) renew(ctx context.Context, c *Client) error {
	if old := c.Tokens().RefreshToken; old != "" {
		_, err := c.refresh(ctx, old)
		if !errors.Is(err, Unauthenticated) {
			return err
		}
		if s.password == "" { // the session has ended
			s.keep(Tokens{})
			return err
		}
	}
	_, err := c.logIn(ctx, s.email, s.password, nil)
	return err
}

// begin stores the tokens of a login or renewal. Sent is when its request was sent.
func (s *session) begin(t *Tokens, sent time.Time) {
	t.Expiry = sent.Add(time.Duration(t.ExpiresIn) * time.Second)
	s.keep(*t)
}
