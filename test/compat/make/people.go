package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"time"

	"lonja/test/compat"
)

// person is somebody who uses the shop. What they ask is part of the record as their
// methods say.
type person struct {
	*tale
	compat.Account
	token   string
	refresh string
	keys    int
}

// ask sends a request and returns it with its answer. It fails unless the status is one of
// those wanted.
func (p *person) ask(ctx context.Context, e compat.Exchange, wanted ...int) (compat.Exchange, error) {
	e.By = p.Name
	req, err := http.NewRequestWithContext(ctx, e.Method, "http://"+httpAddr+e.Path, bytes.NewReader(e.Body))
	if err != nil {
		return e, err
	}
	req.Header.Set("Accept", "application/json")
	if len(e.Body) > 0 {
		req.Header.Set("Content-Type", "application/json")
	}
	if p.token != "" {
		req.Header.Set("Authorization", "Bearer "+p.token)
	}
	if e.Key != "" {
		req.Header.Set("Idempotency-Key", e.Key)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return e, err
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		return e, err
	}
	if e.Answer = nil; json.Valid(body) {
		e.Answer = bytes.TrimSpace(body)
	}
	e.Status, e.Location, e.Replayed = res.StatusCode, res.Header.Get("Location"), res.Header.Get("Idempotent-Replayed") == "true"
	if !slices.Contains(wanted, e.Status) {
		return e, fmt.Errorf("%s: %s %s %s: %d %s", p.Name, e.Method, e.Path, e.Body, e.Status, body)
	}
	return e, nil
}

// do sends a request that is not recorded, and decodes the answer into out, which may be
// nil.
func (p *person) do(ctx context.Context, method, path string, body, out any, wanted ...int) error {
	e, err := p.ask(ctx, compat.Exchange{Method: method, Path: path, Body: encode(body)}, wanted...)
	if err == nil && out != nil {
		err = json.Unmarshal(e.Answer, out)
	}
	return err
}

// keyed sends a request with a new key. The record gets its answer when it is repeated at
// last.
func (p *person) keyed(ctx context.Context, method, path string, body, out any, wanted ...int) error {
	p.keys++
	e, err := p.ask(ctx, compat.Exchange{Method: method, Path: path, Key: fmt.Sprintf("%s-%d", p.Name, p.keys), Body: encode(body)}, wanted...)
	if err != nil {
		return err
	}
	p.record.Keyed = append(p.record.Keyed, e)
	if out != nil {
		return json.Unmarshal(e.Answer, out)
	}
	return nil
}

// read records a GET and its answer.
func (p *person) read(ctx context.Context, path string) error {
	e, err := p.ask(ctx, compat.Exchange{Method: "GET", Path: path}, 200)
	p.record.Reads = append(p.record.Reads, e)
	return err
}

// tokens is what a login is answered with.
type tokens struct {
	User struct {
		ID    string   `json:"id"`
		Roles []string `json:"roles"`
	} `json:"user"`
	Access  string `json:"access_token"`
	Refresh string `json:"refresh_token"`
}

func (p *person) took(t tokens) {
	p.ID, p.Roles, p.token, p.refresh = t.User.ID, t.User.Roles, t.Access, t.Refresh
}

func (p *person) register(ctx context.Context) error {
	var got tokens
	err := p.keyed(ctx, "POST", "/api/auth/register", map[string]string{"name": p.Name + " Ångström", "email": p.Email, "password": p.Password}, &got, 201)
	p.took(got)
	return err
}

func (p *person) logIn(ctx context.Context) error {
	p.token = ""
	var got tokens
	err := p.do(ctx, "POST", "/api/auth/login", map[string]string{"email": p.Email, "password": p.Password}, &got, 200)
	p.took(got)
	return err
}

func (p *person) refreshes(ctx context.Context) error {
	var got tokens
	err := p.do(ctx, "POST", "/api/auth/refresh", map[string]string{"refresh_token": p.refresh}, &got, 200)
	p.took(got)
	return err
}

// reuses uses an old refresh token again after two newer ones, as a thief would: the
// session ends. The person logs in anew.
func (p *person) reuses(ctx context.Context) error {
	if err := p.logIn(ctx); err != nil {
		return err
	}
	first := p.refresh
	for range 2 {
		if err := p.refreshes(ctx); err != nil {
			return err
		}
	}
	if err := p.do(ctx, "POST", "/api/auth/refresh", map[string]string{"refresh_token": first}, nil, 401); err != nil {
		return err
	}
	p.Ended = append(p.Ended, first, p.refresh)
	return p.logIn(ctx)
}

func (p *person) logsOut(ctx context.Context) error {
	if err := p.logIn(ctx); err != nil {
		return err
	}
	p.Ended = append(p.Ended, p.refresh)
	if err := p.do(ctx, "POST", "/api/auth/logout", map[string]string{"refresh_token": p.refresh}, nil, 204); err != nil {
		return err
	}
	return p.logIn(ctx)
}

func encode(body any) []byte {
	if body == nil {
		return nil
	}
	data, err := json.Marshal(body)
	if err != nil {
		panic(err) // only for a type that JSON does not have
	}
	return data
}

// eventually calls try until it returns nil, for twenty seconds at most.
func eventually(ctx context.Context, try func() error) error {
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		err := try()
		if err == nil {
			return nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return err
		}
	}
}
