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

// request is a call before it is encoded, with the properties of its operation.
type request struct {
	method, path string
	query        url.Values
	body         any  // sent as JSON unless nil
	user         bool // requires an access token
	keyed        bool // accepts an Idempotency-Key
	waits        bool // accepts Prefer: wait
	once         bool // may take effect twice if it is sent twice, so it is not repeated
	probe        bool // asks for the current state, so it is not repeated
}

// name is the prefix of a request's errors.
func (r request) name() string { return "lonja: " + r.method + " " + r.path }

// call sends a request and decodes the response.
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
		return nil, fmt.Errorf("%s: decode the response: %w", r.name(), err)
	}
	return v, nil
}

// do sends a request, with retries, and returns a successful response. If the command was
// deferred, that is its outcome's.
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

// encode returns what is sent, which is the same in every try.
func (r request) encode(o callOptions) (Request, error) {
	// Some addresses have a page for browsers, too.
	sent := Request{Method: r.method, Path: r.path, Header: http.Header{"Accept": {"application/json"}}}
	if len(r.query) > 0 {
		sent.Path += "?" + r.query.Encode()
	}
	switch {
	case !r.keyed && o.key != "":
		return sent, errors.New("this call does not accept the option Key")
	case o.key != "":
		sent.Header.Set("Idempotency-Key", o.key)
	case r.keyed:
		sent.Header.Set("Idempotency-Key", rand.Text())
	}
	if o.wait > 0 {
		if !r.waits {
			return sent, errors.New("this call does not accept the option Wait")
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

// asUser sends a request with an access token if it requires one. A token that the shop
// rejects is renewed, once.
func (c *Client) asUser(ctx context.Context, r request, sent Request) (*Response, error) {
	if !r.user {
		return c.sendUntilAnswered(ctx, r, sent, "")
	}
	token, err := c.session.bearer(ctx, c, "")
	if err != nil {
		return nil, err
	}
	res, err := c.sendUntilAnswered(ctx, r, sent, token)
	if !errors.Is(err, Unauthenticated) || !c.session.renewable() {
		return res, err
	}
	// The token expired or was revoked; the request had no effect.
	if token, err = c.session.bearer(ctx, c, token); err != nil {
		return nil, err
	}
	return c.sendUntilAnswered(ctx, r, sent, token)
}

// sendUntilAnswered sends a request until the response is final or the retries are used up.
func (c *Client) sendUntilAnswered(ctx context.Context, r request, sent Request, token string) (*Response, error) {
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

// sleep waits for d. It returns an error at once if ctx will have ended by then.
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

// in inserts an ID into a path. An ID that would lead to another route is replaced by one
// that does not exist, so the response is NotFound.
func in(prefix, id, suffix string) string {
	switch id {
	case "", ".", "..":
		id = "%20"
	default:
		id = url.PathEscape(id)
	}
	return prefix + id + suffix
}
