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

// Call is one request, as its handler sees it. It must be used by one goroutine only.
type Call struct {
	Writer  http.ResponseWriter // for routes made with Page
	Request *http.Request
	Actor   eventlog.Actor // who sends the request; the zero Actor on routes that are not SignedIn
	Expires time.Time      // when the actor's access token expires; zero without one
	// CommandID is the ID of the command that SendAndRespond sends. It is the same when
	// the same request is repeated with the same Idempotency-Key, and "" for GET and
	// HEAD.
	CommandID string
	// Seen is the consistency token of the state that the client has seen, which
	// includes the answers to this call so far; nil for none. The next query reads at
	// least that state.
	Seen projection.Token

	api          *shared
	route        *RouteDetails
	trace        trace
	answerMemory answerMemory
}

var noStore = []string{"no-store"}

// begin authenticates a request and checks its headers and query. It returns a call
// with every error, too, so that the error can be written.
func (s *shared) begin(w http.ResponseWriter, r *http.Request, rt *RouteDetails) (*Call, error) {
	c := &Call{Writer: w, Request: r, Seen: consistencyTokenOf(r.Header), api: s, route: rt, trace: traceOf(r.Header), answerMemory: answerMemory{budget: s.largeAnswers}}
	w.Header()["Cache-Control"] = noStore
	if rt.Security != nil {
		holder, err := c.holder()
		if err != nil {
			return c, err
		}
		c.Actor, c.Expires = holder.Actor, holder.Expires
	}
	if rt.rateLimited {
		c.Actor.ClientNetwork = s.proxies.Pseudonym(r)
	}
	if err := cmp.Or(c.checkQuery(), checkKey(r.Header, rt.idempotent)); err != nil {
		return c, err
	}
	if rt.afterQuery {
		c.Seen = MergeToken(c.Seen, r.URL.Query().Get(afterParam.Name))
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
	if c.CommandID, err = commandID(r.Header, c.Actor.ID, rt.pattern); err == nil && c.Actor.ID != "" {
		c.trace = c.trace.ofCommand(c.CommandID) // requests of different strangers may have the same ID
	}
	return c, err
}

// end releases what the call holds. It is called once the response is written.
func (c *Call) end() { c.Release() }

// holder authenticates the request by its access token, or by a ticket if the route
// takes one and there is no access token.
func (c *Call) holder() (bearer.Holder, error) {
	r := c.Request
	if c.route.ticketFor != "" && len(r.Header["Authorization"]) == 0 && r.URL.RawQuery != "" {
		if ticket := r.URL.Query().Get(ticketParam); ticket != "" {
			return c.api.Tokens.Ticket(r.Context(), ticket, r.PathValue(c.route.ticketFor))
		}
	}
	return c.api.Tokens.AccessToken(r.Context(), r.Header)
}

// checkQuery rejects query parameters that the route would ignore.
func (c *Call) checkQuery() error {
	if c.Request.URL.RawQuery == "" || c.route.anyQuery {
		return nil
	}
	_, err := input.Fields(c.Request.URL.RawQuery, c.route.query)
	return err
}

// SendAndRespond sends the call's only command, with the ID CommandID, and returns a
// response with the service's reply. Errors are those of Send.
func (c *Call) SendAndRespond(cmd bus.Command) (*Response, error) {
	reply, err := c.Send(cmd, c.CommandID)
	if err != nil {
		return nil, err
	}
	return c.ResponseTo(reply), nil
}

// Send sends a command with the given ID. A handler that sends several commands
// derives their IDs from CommandID, so that a repeated request repeats them. Handlers
// must return Send's error unchanged: if the command was deferred (see Deferrable),
// the error becomes the response 202.
func (c *Call) Send(cmd bus.Command, id string) (bus.Reply, error) {
	ctx, cancel := c.withServiceTimeout()
	defer cancel()
	env := c.identity().envelope(id, c.Seen)
	reply, err := c.api.Client.Send(ctx, cmd, env)
	if err != nil {
		return reply, c.api.deferCommand(c.Request.Context(), c.route, cmd, env, err)
	}
	c.Seen = MergeToken(c.Seen, reply.Position)
	return reply, nil
}

// ResponseTo returns a response with a service's reply to a command.
func (c *Call) ResponseTo(reply bus.Reply) *Response {
	a := c.respond(reply.Body)
	if reply.Replayed {
		a.Replayed = "true"
	}
	return a
}

// QueryAndRespond sends a query and returns a response with the service's answer.
// Errors are those of Query.
func (c *Call) QueryAndRespond(q Query) (*Response, error) {
	body, err := c.Query(c.Request.Context(), q)
	if err != nil {
		return nil, err
	}
	return c.respond(body), nil
}

func (c *Call) respond(body []byte) *Response {
	a := NewResponse(body)
	a.ConsistencyToken = c.Seen.String()
	return a
}

// Query sends a query and returns the service's answer, which may be larger than a
// message. The error has the code Unavailable when no answer came in time or there is
// no memory for a large one; otherwise it is the service's.
func (c *Call) Query(ctx context.Context, q Query) (json.RawMessage, error) {
	body, position, err := c.api.query(ctx, q, c.identity().envelope("", c.Seen), &c.answerMemory)
	if err == nil {
		c.Seen = MergeToken(c.Seen, position)
	}
	return body, err
}

// Release gives back the memory that the answers to this call hold so far, which counts
// against the bound for all large answers. The handler must not use them afterwards. Without
// Release, they are held until the response is written.
func (c *Call) Release() { c.answerMemory.release(c.answerMemory.held) }

func (c *Call) identity() identity { return identity{c.Actor, c.trace} }

// withServiceTimeout returns the request's context, bounded by serviceTimeout.
func (c *Call) withServiceTimeout() (context.Context, context.CancelFunc) {
	return context.WithTimeout(c.Request.Context(), serviceTimeout)
}

// UntilStopping returns the request's context, which also ends when the server begins
// to stop. Use it for waits that can be cut short.
func (c *Call) UntilStopping() (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(c.Request.Context())
	stop := context.AfterFunc(httpserve.Stopping(ctx), cancel)
	return ctx, func() { stop(); cancel() }
}

// PreferredWait returns the N of Prefer: wait=N (RFC 7240) as a duration, 30 seconds at
// most; 0 when the client does not ask to wait.
func (c *Call) PreferredWait() time.Duration { return preferredWait(c.Request.Header) }

// Origin returns the API's origin as clients see it, for absolute URLs. It is
// PublicURL, or the request's Host if Config.Local is set. Anybody can send any Host,
// so only a loopback address is believed.
func (c *Call) Origin() string {
	if c.api.Local && isLoopback(c.Request.Host) {
		return "http://" + c.Request.Host
	}
	return c.api.PublicURL
}

// Body reads and decodes the JSON body of a route made with Page, which must have the
// option Accepts[T]. The error is a problem that names the invalid fields.
func Body[T any](c *Call) (v T, err error) {
	raw, release, err := c.api.bodies.Read(c.Writer, c.Request)
	if err != nil {
		return v, err
	}
	defer release()
	err = input.Parse(c.api.registry, c.route.body, raw, &v)
	return v, err
}

// Form reads a URL-encoded form. Each of the fields may occur once; the error is a
// problem that names unknown and repeated ones.
func (c *Call) Form(fields ...string) (url.Values, error) {
	raw, release, err := c.api.bodies.Read(c.Writer, c.Request)
	if err != nil {
		return nil, err
	}
	defer release()
	return input.Fields(string(raw), fields)
}

// RawBody reads a body of at most so many bytes as it is, on routes made with Page, for those who
// check a signature. The caller must call release once, when the body is no longer needed.
func RawBody(c *Call, most int) (raw []byte, release func(), err error) {
	if c.Request.ContentLength > int64(most) {
		return nil, nil, input.TooLarge(most)
	}
	raw, release, err = c.api.bodies.Read(c.Writer, c.Request)
	if err == nil && len(raw) > most {
		release()
		return nil, nil, input.TooLarge(most)
	}
	return raw, release, err
}

// WriteJSON writes v as JSON, on routes made with Page. It returns an error, and writes
// nothing, when v cannot be encoded.
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
