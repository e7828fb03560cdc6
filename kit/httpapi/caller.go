package httpapi

import (
	"context"
	"encoding/json"
	"time"

	"lonja/kit/httpapi/bearer"
	"lonja/kit/httpapi/httpserve"
	"lonja/kit/projection"
)

// Caller is the sender of a request, for work that outlives the request's handler. It
// is small and keeps nothing of the request in memory. It is safe for concurrent use.
type Caller struct {
	api      *shared
	identity identity
	expires  time.Time // of the access token, with leeway; zero without one
	stop     context.Context
}

// Caller returns the sender of the request.
func (c *Call) Caller() *Caller {
	caller := &Caller{api: c.api, identity: c.identity(), stop: httpserve.Stopping(c.Request.Context())}
	if !c.Expires.IsZero() {
		caller.expires = c.Expires.Add(bearer.Leeway)
	}
	return caller
}

// Expired reports whether the access token has expired. It is false for an anonymous
// caller.
func (c *Caller) Expired() bool { return !c.expires.IsZero() && time.Now().After(c.expires) }

// Check returns an error with the code Unauthenticated when the access token has been
// revoked, and with the code Unavailable when that is unknown at the moment.
func (c *Caller) Check(ctx context.Context) error {
	if c.identity.actor.ID == "" {
		return nil
	}
	return c.api.Tokens.Check(ctx, c.identity.actor)
}

// Stopping returns a context that ends when the server begins to stop.
func (c *Caller) Stopping() context.Context { return c.stop }

// Query sends a query and returns the answer, which reads at least the state of seen
// and must fit into one message. It first calls Check. Errors are those of Check and
// of the service.
func (c *Caller) Query(ctx context.Context, q Query, seen projection.Token) (json.RawMessage, error) {
	ctx, cancel := context.WithTimeout(ctx, serviceTimeout)
	defer cancel()
	if err := c.Check(ctx); err != nil {
		return nil, err
	}
	return c.api.Client.Query(ctx, q, c.identity.envelope("", seen))
}
