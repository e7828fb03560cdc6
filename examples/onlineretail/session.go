package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"sync"
	"time"
)

// session is one account's talk with the shop. It keeps the access token
// fresh, and it keeps the consistency token, so that the account always reads
// what it wrote, whichever replica answers. It is safe for concurrent use.
type session struct {
	api             *api
	email, password string

	mu          sync.Mutex
	tokens      tokens
	expires     time.Time
	consistency string

	login sync.Mutex // one login or refresh at a time
}

type tokens struct {
	AccessToken  string `json:"access_token"`
	RefreshToken string `json:"refresh_token"`
	ExpiresIn    int64  `json:"expires_in"`
}

// early is how long before its end an access token is exchanged.
const early = 30 * time.Second

// send sends a request in the account's name and reads the answer into into,
// unless that is nil.
func (s *session) send(ctx context.Context, r request, into any) (answer, error) {
	bearer, err := s.bearer(ctx, "")
	if err != nil {
		return answer{}, err
	}
	got, err := s.sendAs(ctx, r, bearer)
	if refusedWith(err, http.StatusUnauthorized) {
		// The token ended earlier than its time, by a change of keys say.
		if bearer, err = s.bearer(ctx, bearer); err != nil {
			return answer{}, err
		}
		got, err = s.sendAs(ctx, r, bearer)
	}
	if got.later != "" {
		got, err = s.outcome(ctx, got.later)
	}
	if err != nil || into == nil {
		return got, err
	}
	if err := json.Unmarshal(got.body, into); err != nil {
		return got, fmt.Errorf("%s %s: %w", r.method, r.path, err)
	}
	return got, nil
}

func (s *session) sendAs(ctx context.Context, r request, bearer string) (answer, error) {
	s.mu.Lock()
	r.bearer, r.consistency = bearer, s.consistency
	s.mu.Unlock()
	got, err := s.api.do(ctx, r)
	s.saw(got.consistency)
	return got, err
}

// outcome waits for what becomes of a request that the shop took while the
// service behind it was away.
func (s *session) outcome(ctx context.Context, where string) (answer, error) {
	ctx, cancel := context.WithTimeout(ctx, s.api.patience)
	defer cancel()
	for pause := s.api.pause; ; pause = min(2*pause, maxPause) {
		var told struct {
			Status  string          `json:"status"`
			Result  json.RawMessage `json:"result"`
			Problem *problem        `json:"problem"`
		}
		got, err := s.send(ctx, request{method: http.MethodGet, path: where}, &told)
		switch {
		case err != nil:
			return got, err
		case told.Status == "done":
			got.body = told.Result
			return got, nil
		case told.Problem != nil:
			return got, fmt.Errorf("%s: %w", where, told.Problem)
		}
		if err := sleep(ctx, pause); err != nil {
			return got, fmt.Errorf("%s: still pending: %w", where, err)
		}
	}
}

// saw keeps the latest consistency token. It covers what the request's own
// token covered.
func (s *session) saw(token string) {
	if token == "" {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.consistency = token
}

// bearer is an access token that is good for a while and is not the refused
// one, by refresh if that works and else by login.
func (s *session) bearer(ctx context.Context, refused string) (string, error) {
	s.login.Lock()
	defer s.login.Unlock()
	s.mu.Lock()
	now, expires := s.tokens, s.expires
	s.mu.Unlock()
	if now.AccessToken != "" && now.AccessToken != refused && time.Until(expires) > early {
		return now.AccessToken, nil
	}
	if now.RefreshToken != "" {
		// A refresh token works once. When the answer is lost the token is
		// too, so this is tried once and then there is the password.
		_, err := s.authenticate(ctx, request{path: "/api/auth/refresh", once: true,
			body: map[string]string{"refresh_token": now.RefreshToken}})
		if err == nil {
			return s.accessToken(), nil
		}
	}
	_, err := s.authenticate(ctx, request{path: "/api/auth/login",
		body: map[string]string{"email": s.email, "password": s.password}})
	return s.accessToken(), err
}

// authenticate sends a request that is answered with tokens, and keeps them.
func (s *session) authenticate(ctx context.Context, r request) (answer, error) {
	r.method = http.MethodPost
	got, err := s.api.do(ctx, r)
	if err != nil {
		return got, err
	}
	var t tokens
	if err := json.Unmarshal(got.body, &t); err != nil {
		return got, fmt.Errorf("%s: %w", r.path, err)
	}
	s.keep(t)
	s.saw(got.consistency)
	return got, nil
}

func (s *session) accessToken() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.tokens.AccessToken
}

func (s *session) keep(t tokens) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.tokens = t
	s.expires = time.Now().Add(time.Duration(t.ExpiresIn) * time.Second)
}

// logIn forgets the tokens and takes new ones, which carry the account's roles
// as they are now.
func (s *session) logIn(ctx context.Context) error {
	s.keep(tokens{})
	_, err := s.bearer(ctx, "")
	return err
}
