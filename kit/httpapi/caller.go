package httpapi

import (
	"context"
	"encoding/json"
	"time"

	"lonja/kit/httpapi/bearer"
	"lonja/kit/httpapi/httpserve"
	"lonja/kit/projection"
)

// Caller is whoever sent a request, apart from it: for what outlives a handler.
// It is small, and holds on to nothing of the request. It is safe for concurrent use.
type Caller struct {
	api   *shared
	who   who
	until time.Time // the access token is good; zero when there is none
	stop  context.Context
}

// Caller is who sends the request.
func (c *Call) Caller() *Caller {
	caller := &Caller{api: c.api, who: c.who(), stop: httpserve.Stopping(c.Request.Context())}
	if !c.Expires.IsZero() {
		caller.until = c.Expires.Add(bearer.Leeway)
	}
	return caller
}

// Expired reports whether the access token is no longer good, by its own word.
// Whoever is anonymous has none, which never expires.
func (c *Caller) Expired() bool { return !c.until.IsZero() && time.Now().After(c.until) }

// Check returns an error with the code Unauthenticated when the access token has
// been revoked, and Unavailable while nobody can say.
func (c *Caller) Check(ctx context.Context) error {
	if c.who.actor.ID == "" {
		return nil
	}
	return c.api.Tokens.Check(ctx, c.who.actor)
}

// Stopping is a context that ends when the server begins to stop.
func (c *Caller) Stopping() context.Context { return c.stop }

// Ask sends a query and returns its answer, which must fit into one message and
// shows what was seen. It asks only when the access token was not revoked; errors are
// those of Check and of the service.
func (c *Caller) Ask(ctx context.Context, q Query, seen projection.Token) (json.RawMessage, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	if err := c.Check(ctx); err != nil {
		return nil, err
	}
	return c.api.Client.Query(ctx, q, c.who.envelope("", seen))
}
