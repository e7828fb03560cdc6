package client

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"time"
)

// Outcome is the outcome of a deferred command.
type Outcome struct {
	ID      string          `json:"id"`
	Status  string          `json:"status"`            // Pending, Done or Refused
	Result  json.RawMessage `json:"result,omitempty"`  // the body that the call would have returned; nil unless Done
	Problem *Problem        `json:"problem,omitempty"` // the error; nil unless Refused
}

// The statuses of an outcome.
const (
	Pending = "pending"
	Done    = "done"
	Refused = "refused"
)

// GetCommand returns the current outcome of a deferred command. Its sender and staff may
// read it; for others it is [NotFound].
func (c *Client) GetCommand(ctx context.Context, id string, options ...CallOption) (*Outcome, error) {
	return call[Outcome](ctx, c, request{method: http.MethodGet, path: in("/api/commands/", id, ""), user: true}, options)
}

// followFor bounds the wait for an outcome if the caller's context has no deadline.
const followFor = 2 * time.Minute

// AwaitCommand waits for the outcome of a deferred command, until ctx ends or, if ctx has no
// deadline, for two minutes. It decodes the command's result into result, which may be nil.
// It returns a [*Problem] if the command was rejected, and a [*Deferred] if the outcome was
// not known in time.
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

// outcome replaces the response 202 of a deferred command by the one that the call would
// have had. The status stays 202.
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
