package client

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"time"
)

// Outcome is what became of a command that the shop deferred.
type Outcome struct {
	ID      string          `json:"id"`
	Status  string          `json:"status"`            // Pending, Done or Refused
	Result  json.RawMessage `json:"result,omitempty"`  // what the call would have returned, once it is done
	Problem *Problem        `json:"problem,omitempty"` // why it was refused
}

// The statuses of an outcome.
const (
	Pending = "pending"
	Done    = "done"
	Refused = "refused"
)

// GetCommand returns what has become so far of a command that the shop deferred.
// Its sender and staff may know.
func (c *Client) GetCommand(ctx context.Context, id string, options ...CallOption) (*Outcome, error) {
	return call[Outcome](ctx, c, request{method: http.MethodGet, path: in("/api/commands/", id, ""), user: true}, options)
}

// followFor is how long outcomes are waited for when the caller's context has no
// deadline.
const followFor = 2 * time.Minute

// AwaitCommand waits for the outcome of a command that the shop deferred, until
// ctx ends or, when that has no deadline, for two minutes. It decodes the result
// into result, which may be nil, returns the [*Problem] when the command was
// refused, and a [*Deferred] when nobody could tell in time.
func (c *Client) AwaitCommand(ctx context.Context, id string, result any) error {
	if _, bounded := ctx.Deadline(); !bounded {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, followFor)
		defer cancel()
	}
	for try := 0; ; try++ {
		o, err := c.GetCommand(ctx, id)
		switch {
		case err != nil:
			return &Deferred{ID: id, err: err}
		case o.Status == Done && result != nil:
			return json.Unmarshal(o.Result, result)
		case o.Status == Done:
			return nil
		case o.Problem != nil:
			return o.Problem
		}
		if err := sleep(ctx, c.retry.backoff(try)); err != nil {
			return &Deferred{ID: id, err: err}
		}
	}
}

// outcome turns the answer that a command was deferred into the one that the call
// would have had. It keeps its status, 202.
func (c *Client) outcome(ctx context.Context, r request, res *Response, noFollow bool) (*Response, error) {
	o, err := decode[Outcome](r, res)
	switch {
	case err != nil:
		return nil, err
	case noFollow:
		return nil, fmt.Errorf("%s: %w", r.name(), &Deferred{ID: o.ID})
	}
	var body json.RawMessage
	if err := c.AwaitCommand(ctx, o.ID, &body); err != nil {
		return nil, fmt.Errorf("%s: %w", r.name(), err)
	}
	return &Response{StatusCode: res.StatusCode, Header: res.Header, Body: body}, nil
}
