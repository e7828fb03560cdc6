package httpapi

import (
	"cmp"
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"time"

	"lonja/kit/bus"
	"lonja/kit/eventlog"
	"lonja/kit/httpapi/bearer"
	"lonja/kit/httpapi/httpserve"
	"lonja/kit/httpapi/input"
	"lonja/kit/projection"
)

// Call is one request on its way, for its handler. It belongs to one goroutine.
type Call struct {
	Writer  http.ResponseWriter // for routes of Page
	Request *http.Request
	Actor   eventlog.Actor // who asks; the zero Actor where no access token is asked for
	Expires time.Time      // of the actor's access token
	// ID is the id of the command that Do sends, the same one when the same
	// request is sent again with an Idempotency-Key. "" for GET and HEAD.
	ID string
	// Seen is what whoever asks has seen, and what the answers so far have shown;
	// nil for nothing. What is asked next shows as much.
	Seen projection.Token

	api   *shared
	route *Details
	trace string // W3C traceparent
	room  room   // that its large answers take
}

var noStore = []string{"no-store"}

// begin finds out who asks, and with what. It returns the call even when it is
// refused.
func (s *shared) begin(w http.ResponseWriter, r *http.Request, rt *Details) (*Call, error) {
	c := &Call{Writer: w, Request: r, Seen: seenBy(r.Header), api: s, route: rt, trace: traceOf(r.Header), room: room{of: s.large}}
	w.Header()["Cache-Control"] = noStore
	if rt.Security != nil {
		who, err := c.holder()
		if err != nil {
			return c, err
		}
		c.Actor, c.Expires = who.Actor, who.Expires
	}
	if rt.limited {
		c.Actor.ClientNetwork = s.proxies.from(r)
	}
	if err := cmp.Or(c.checkQuery(), checkKey(r.Header, rt.keyed)); err != nil {
		return c, err
	}
	if rt.afterQuery {
		c.Seen = Merge(c.Seen, r.URL.Query().Get(afterParam.Name))
	}
	if r.Method == http.MethodGet || r.Method == http.MethodHead {
		return c, nil
	}
	if rt.body != nil {
		if err := input.CheckContent(r.Header, rt.RequestBody.Content); err != nil {
			return c, err
		}
	}
	var err error
	c.ID, err = commandID(r.Header, c.Actor.ID, rt.pattern)
	return c, err
}

// end gives back what the call held, once its answer is written.
func (c *Call) end() { c.room.giveBack(c.room.held) }

// holder is whoever sends the request: by an access token, or by a ticket where
// that is taken and there is no access token.
func (c *Call) holder() (bearer.Holder, error) {
	r := c.Request
	if c.route.ticketFor != "" && len(r.Header["Authorization"]) == 0 && r.URL.RawQuery != "" {
		if ticket := r.URL.Query().Get(ticketParam); ticket != "" {
			return c.api.Tokens.Ticket(r.Context(), ticket, r.PathValue(c.route.ticketFor))
		}
	}
	return c.api.Tokens.AccessToken(r.Context(), r.Header)
}

// checkQuery refuses a query string that the route would ignore a part of.
func (c *Call) checkQuery() error {
	if c.Request.URL.RawQuery == "" || c.route.anyQuery {
		return nil
	}
	_, err := input.Fields(c.Request.URL.RawQuery, c.route.query)
	return err
}

// Do sends the call's one command and answers with what came of it. Errors are
// as Send's.
func (c *Call) Do(cmd bus.Command) (*Answer, error) {
	reply, err := c.Send(cmd, c.ID)
	if err != nil {
		return nil, err
	}
	return c.Did(reply), nil
}

// Send sends a command with an id of its own, for a handler that sends several:
// derive their ids from ID. Handlers return its errors as they are; one says that
// the command was left for later, and becomes the answer 202.
func (c *Call) Send(cmd bus.Command, id string) (bus.Reply, error) {
	ctx, cancel := c.soon()
	defer cancel()
	env := c.who().envelope(id, c.Seen)
	reply, err := c.api.Client.Send(ctx, cmd, env)
	if err != nil {
		return reply, c.api.leave(c.Request.Context(), c.route, cmd, env, err)
	}
	c.Seen = Merge(c.Seen, reply.Position)
	return reply, nil
}

// Did is the answer to a command.
func (c *Call) Did(reply bus.Reply) *Answer {
	a := c.answering(reply.Body)
	if reply.Replayed {
		a.Replayed = "true"
	}
	return a
}

// Ask sends a query and answers with its answer.
func (c *Call) Ask(q Query) (*Answer, error) {
	body, err := c.Query(c.Request.Context(), q)
	if err != nil {
		return nil, err
	}
	return c.answering(body), nil
}

func (c *Call) answering(body []byte) *Answer {
	a := Answering(body)
	a.Seen = c.Seen.String()
	return a
}

// Query sends a query and returns its answer, which may be large. It gives up
// when ctx ends.
func (c *Call) Query(ctx context.Context, q Query) (json.RawMessage, error) {
	body, position, err := c.api.query(ctx, q, c.who().envelope("", c.Seen), &c.room)
	if err == nil {
		c.Seen = Merge(c.Seen, position)
	}
	return body, err
}

func (c *Call) who() who { return who{c.Actor, c.trace} }

// soon is the request's context, which ends when a service should have answered.
func (c *Call) soon() (context.Context, context.CancelFunc) {
	return context.WithTimeout(c.Request.Context(), patience)
}

// UntilStopping is the request's context, which also ends when the server
// stops: for waiting that nobody would miss.
func (c *Call) UntilStopping() (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(c.Request.Context())
	stop := context.AfterFunc(httpserve.Stopping(ctx), cancel)
	return ctx, func() { stop(); cancel() }
}

// Waits is how long Prefer: wait=N (RFC 7240) commands to wait, 30 seconds at most,
// 0 for not at all.
func (c *Call) Waits() time.Duration { return preferredWait(c.Request.Header) }

// Origin is the API's address as clients see it. Anybody can send any Host, so
// only one that leads nowhere else is believed.
func (c *Call) Origin() string {
	if c.api.Local && isLoopback(c.Request.Host) {
		return "http://" + c.Request.Host
	}
	return c.api.PublicURL
}

// Body is a JSON body that is to be a T, for routes of Page that Accept it. The
// error says which field is wrong.
func Body[T any](c *Call) (v T, err error) {
	raw, release, err := c.api.bodies.Read(c.Writer, c.Request)
	if err != nil {
		return v, err
	}
	defer release()
	err = input.Parse(c.api.registry, c.route.body, raw, &v)
	return v, err
}

// Form is a body that is a form with these fields, each there once or not at all.
func (c *Call) Form(fields ...string) (url.Values, error) {
	raw, release, err := c.api.bodies.Read(c.Writer, c.Request)
	if err != nil {
		return nil, err
	}
	defer release()
	return input.Fields(string(raw), fields)
}

// WriteJSON answers with v as JSON, on routes of Page.
func (c *Call) WriteJSON(status int, v any) error {
	body, err := json.Marshal(v)
	if err != nil {
		return err
	}
	c.Writer.Header().Set("Content-Type", "application/json")
	c.Writer.WriteHeader(status)
	_, _ = c.Writer.Write(body)
	return nil
}
