package client

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"time"
)

// request is one call: what is asked, and what holds for it.
type request struct {
	method, path string
	query        url.Values
	body         any  // sent as JSON unless nil
	user         bool // needs an access token
	keyed        bool // takes an Idempotency-Key
	waits        bool // takes Prefer: wait
	once         bool // may take effect twice when it is sent twice
	probe        bool // asks how things are right now, so it is not sent again
}

// name is how errors call a request.
func (r request) name() string { return "lonja: " + r.method + " " + r.path }

// call sends a request and decodes its answer.
func call[T any](ctx context.Context, c *Client, r request, options []CallOption) (*T, error) {
	res, err := c.do(ctx, r, options)
	if err != nil {
		return nil, err
	}
	return decode[T](r, res)
}

func decode[T any](r request, res *Response) (*T, error) {
	v := new(T)
	if err := json.Unmarshal(res.Body, v); err != nil {
		return nil, fmt.Errorf("%s: the answer cannot be read: %w", r.name(), err)
	}
	return v, nil
}

// do sends a request until it is answered, and returns an answer that is good. A
// deferred command's is that of its outcome.
func (c *Client) do(ctx context.Context, r request, options []CallOption) (*Response, error) {
	var o callOptions
	for _, set := range options {
		set(&o)
	}
	sent, err := r.encode(o)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", r.name(), err)
	}
	res, err := c.asUser(ctx, r, sent)
	if err == nil && res.StatusCode == http.StatusAccepted {
		res, err = c.outcome(ctx, r, res, o.noFollow)
	}
	if err == nil && o.into != nil {
		*o.into = *res
	}
	return res, err
}

// encode makes what is sent, in every try the same.
func (r request) encode(o callOptions) (Request, error) {
	sent := Request{Method: r.method, Path: r.path, Header: http.Header{}}
	if len(r.query) > 0 {
		sent.Path += "?" + r.query.Encode()
	}
	switch {
	case !r.keyed && o.key != "":
		return sent, errors.New("takes no idempotency key")
	case o.key != "":
		sent.Header.Set("Idempotency-Key", o.key)
	case r.keyed:
		sent.Header.Set("Idempotency-Key", rand.Text())
	}
	if o.wait > 0 {
		if !r.waits {
			return sent, errors.New("does not wait")
		}
		sent.Header.Set("Prefer", "wait="+seconds(o.wait))
	}
	if r.body == nil {
		return sent, nil
	}
	var err error
	sent.Body, err = json.Marshal(r.body)
	return sent, err
}

// asUser sends a request with an access token when it needs one. A token that is
// turned down is renewed, once.
func (c *Client) asUser(ctx context.Context, r request, sent Request) (*Response, error) {
	if !r.user {
		return c.insist(ctx, r, sent, "")
	}
	token, err := c.session.bearer(ctx, c, "")
	if err != nil {
		return nil, err
	}
	res, err := c.insist(ctx, r, sent, token)
	if !errors.Is(err, Unauthenticated) || !c.session.renewable() {
		return res, err
	}
	// It expired or was revoked; what was asked was not looked at.
	if token, err = c.session.bearer(ctx, c, token); err != nil {
		return nil, err
	}
	return c.insist(ctx, r, sent, token)
}

// insist sends a request until it is answered for good, or the retries are used up.
func (c *Client) insist(ctx context.Context, r request, sent Request, token string) (*Response, error) {
	for try := 0; ; try++ {
		res, err := c.try(ctx, sent, token)
		if err == nil && res.StatusCode >= 300 {
			err = problemIn(res)
		}
		if err == nil {
			return res, nil
		}
		wait, again := c.retry.pause(try, err)
		if !again || !r.again(err) || ctx.Err() != nil {
			return nil, fmt.Errorf("%s: %w", r.name(), err)
		}
		if ctxErr := sleep(ctx, wait); ctxErr != nil {
			return nil, fmt.Errorf("%s: %w; before that: %w", r.name(), ctxErr, err)
		}
	}
}

// sleep waits, or returns at once when ctx will have ended by then.
func sleep(ctx context.Context, d time.Duration) error {
	if deadline, ok := ctx.Deadline(); ok && time.Until(deadline) < d {
		return context.DeadlineExceeded
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// in puts an id into a path. One that would lead to another route is replaced by
// one that names nothing, so the answer is NotFound.
func in(prefix, id, suffix string) string {
	switch id {
	case "", ".", "..":
		id = "%20"
	default:
		id = url.PathEscape(id)
	}
	return prefix + id + suffix
}
