package gateway

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"time"

	"lonja/events"
	"lonja/events/command"
	"lonja/events/query"
	"lonja/kit/bus"
	"lonja/kit/errs"
	"lonja/kit/eventlog"
	"lonja/kit/projection"
)

// patience is how long a service may take to answer. It is a little longer
// than the services' own, so that their answer is the one that is given.
const patience = 6 * time.Second

// call is one request on its way. Nothing of its headers goes on as it came:
// what stands here was checked or made anew.
type call struct {
	*gateway
	w       http.ResponseWriter
	r       *http.Request
	route   *route
	actor   eventlog.Actor
	expires time.Time        // of the actor's access token
	id      string           // of the command that is sent
	trace   string           // W3C traceparent
	seen    projection.Token // what the one who asks has seen, or nil
	room    int              // that its large answers take
}

type callKey struct{}

var noStore = []string{"no-store"}

// begin finds out who asks, and with what. It returns the call even when it is
// refused.
func (g *gateway) begin(w http.ResponseWriter, r *http.Request, rt *route) (*call, error) {
	c := &call{gateway: g, w: w, r: r, route: rt, trace: traceOf(r.Header), seen: seenBy(r.Header)}
	w.Header()["Cache-Control"] = noStore
	if rt.Security != nil {
		who, err := c.holder()
		if err != nil {
			return c, err
		}
		c.actor, c.expires = who.actor, who.expires
	}
	if rt.limited {
		c.actor.From = g.proxies.from(r)
	}
	if err := cmp.Or(c.checkParameters(), c.checkKey()); err != nil {
		return c, err
	}
	if r.Method == http.MethodGet || r.Method == http.MethodHead {
		return c, nil
	}
	if rt.body != nil {
		if err := c.checkContent(); err != nil {
			return c, err
		}
	}
	var err error
	c.id, err = c.commandID()
	return c, err
}

func (c *call) envelope(id string) eventlog.Envelope {
	return eventlog.Envelope{ID: id, Actor: c.actor, Correlation: traceID(c.trace), Trace: c.trace, After: c.seen.String()}
}

// send sends a command. Every command goes this way; from here on the call has
// seen what it did. The error is a *left when the command will be done later.
func (c *call) send(cmd command.Command, id string) (bus.Reply, error) {
	ctx, cancel := context.WithTimeout(c.r.Context(), patience)
	defer cancel()
	env := c.envelope(id)
	reply, err := c.Client.Send(ctx, cmd, env)
	if err != nil {
		return reply, c.leave(cmd, env, err)
	}
	c.seen = seen(c.seen, reply.Position)
	return reply, nil
}

// do sends the call's one command and answers with what came of it.
func (c *call) do(cmd command.Command) (*answer, error) {
	reply, err := c.send(cmd, c.id)
	if err != nil {
		return nil, err
	}
	return c.did(reply), nil
}

// did is the answer to a command.
func (c *call) did(reply bus.Reply) *answer {
	a := answering(reply.Body)
	a.Seen = c.seen.String()
	if reply.Replayed {
		a.Replayed = "true"
	}
	return a
}

// ask sends a query and answers with its answer.
func (c *call) ask(q query.Query) (*answer, error) {
	body, err := c.query(c.r.Context(), q)
	if err != nil {
		return nil, err
	}
	a := answering(body)
	a.Seen = c.seen.String()
	return a, nil
}

// query sends a query; from here on the call has seen what the answer shows.
func (c *call) query(ctx context.Context, q query.Query) (json.RawMessage, error) {
	soon, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	body, position, err := c.Client.QueryAt(soon, q, c.envelope(""))
	var large *bus.TooLargeError
	if errors.As(err, &large) {
		body, position, err = c.askInParts(ctx, q, large)
	}
	if err == nil {
		c.seen = seen(c.seen, position)
	}
	return body, err
}

// known refuses an id in a path that cannot be anything's.
func known[T ~string](id T) error {
	if !events.IsToken(string(id)) {
		return errs.New(errs.NotFound, "there is no such thing")
	}
	return nil
}
