package gateway

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"reflect"
	"strings"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"
)

// route is one line of the table of contents: what is served where, and how
// it is described.
type route struct {
	huma.Operation
	pattern  string            // "POST /api/orders"
	keyed    bool              // takes an Idempotency-Key
	limited  bool              // tells where it comes from
	later    bool              // what it asks for may be left for later
	roles    []string          // those that may do what it asks for; none when only the service can tell
	query    []string          // names of the query parameters
	anyQuery bool              // takes no notice of other ones
	ticketed bool              // takes a ticket, too
	body     *huma.Schema      // of a JSON body; nil when there is none
	headers  map[string]string // of a good answer, and what they say
}

// answer is a response: the JSON of a service as it came, and a few headers.
// Those that are empty are not sent.
type answer struct {
	Status     int
	Type       string `header:"Content-Type" hidden:"true"`
	Location   string `header:"Location" hidden:"true"`
	Seen       string `header:"Consistency-Token" hidden:"true"`
	Replayed   string `header:"Idempotent-Replayed" hidden:"true"`
	Preference string `header:"Preference-Applied" hidden:"true"`
	Caching    string `header:"Cache-Control" hidden:"true"`
	Body       []byte
}

// answering is the answer to a query, or what a command's is made from.
func answering(body []byte) *answer {
	return &answer{Status: http.StatusOK, Type: "application/json", Body: body}
}

// answeringJSON is the answer of a route that no service answers.
func answeringJSON(v any) (*answer, error) {
	body, err := json.Marshal(v)
	return answering(body), err
}

// noContent is an answer that says nothing but that it is done.
func (a *answer) noContent() *answer {
	a.Status, a.Type, a.Body = http.StatusNoContent, "", nil
	return a
}

// add serves a route whose answers are JSON. In is an input of huma's: its
// fields are the path's and the query's parameters, and perhaps a payload.
func add[In any](g *gateway, pattern, summary string, handle func(*call, *In) (*answer, error), options ...option) {
	if p, ok := any(new(In)).(interface{ bodyType() reflect.Type }); ok {
		options = append(options, accepts(p.bodyType()))
	}
	rt := newRoute(g, pattern, summary, options)
	rt.query = parameters(reflect.TypeFor[In]())
	rt.Middlewares = huma.Middlewares{func(ctx huma.Context, next func(huma.Context)) {
		r, w := humago.Unwrap(ctx)
		c, err := g.begin(w, r, rt)
		if err != nil {
			c.refuse(err)
			return
		}
		defer func() { c.giveBack(c.room) }() // the answer is written
		next(huma.WithValue(ctx, callKey{}, c))
	}}
	// Huma would read a body that it knows of; a payload does it, and better.
	var content map[string]*huma.MediaType
	if rt.body != nil {
		content, rt.RequestBody.Content = rt.RequestBody.Content, nil
	}
	huma.Register(g.api, rt.Operation, func(ctx context.Context, in *In) (*answer, error) {
		c := ctx.Value(callKey{}).(*call)
		a, err := handle(c, in)
		var later *left
		switch {
		case errors.As(err, &later):
			return later.answer(), nil
		case err != nil:
			return nil, c.problem(err)
		}
		return a, nil
	})
	if rt.body != nil {
		rt.RequestBody.Content = content
	}
	if rt.DefaultStatus == http.StatusNoContent {
		rt.Responses["204"].Content = nil
	}
}

// page serves a route that writes its response itself.
func page(g *gateway, pattern, summary string, handle func(*call) error, options ...option) {
	rt := newRoute(g, pattern, summary, options)
	for part := range strings.SplitSeq(rt.Path, "/") {
		if name, ok := strings.CutPrefix(part, "{"); ok {
			rt.Parameters = append(rt.Parameters, pathParam(strings.TrimSuffix(name, "}")))
		}
	}
	g.document(rt)
	g.mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
		c, err := g.begin(w, r, rt)
		defer func() { c.giveBack(c.room) }()
		if err == nil {
			err = handle(c)
		}
		if err != nil {
			c.refuse(err)
		}
	})
}

func newRoute(g *gateway, pattern, summary string, options []option) *route {
	method, path, _ := strings.Cut(pattern, " ")
	rt := &route{pattern: pattern, headers: map[string]string{}, Operation: huma.Operation{
		Method: method, Path: path, Summary: summary,
		OperationID: strings.ReplaceAll(strings.ReplaceAll(strings.ToLower(summary), "'", ""), " ", "-"),
		Responses:   map[string]*huma.Response{},
		Errors:      []int{http.StatusBadRequest, http.StatusUnprocessableEntity, http.StatusInternalServerError, http.StatusServiceUnavailable},
	}}
	if strings.HasPrefix(path, "/api/") {
		rt.Parameters = []*huma.Param{consistencyParam, traceParam}
		if method != http.MethodGet {
			rt.headers["Consistency-Token"] = "Sent back, it makes any replica show this change"
		}
	}
	for _, set := range options {
		set(g, rt)
	}
	if rt.DefaultStatus == 0 {
		rt.DefaultStatus = http.StatusNoContent
	}
	rt.announce()
	return rt
}
