package httpapi

import (
	"context"
	"errors"
	"net/http"
	"reflect"
	"strings"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"lonja/kit/httpapi/input"
)

// Route is one line of the table of contents: what is served where, and how it is
// described. JSON and Page make one.
type Route struct{ add func(a *API, tag string) }

// Add serves routes, which are described under the tag. It panics when two routes
// have one pattern or one summary.
func (a *API) Add(tag string, routes ...Route) {
	for _, rt := range routes {
		rt.add(a, tag)
	}
}

// Payload says that a route takes a JSON body that is to be a T. Embed it into
// the input of JSON.
type Payload[T any] struct{}

func (Payload[T]) accept() Option { return Accepts[T] }

// Body reads the body. The error says which field is wrong.
func (Payload[T]) Body(c *Call) (T, error) { return Body[T](c) }

type callKey struct{}

// JSON is a route whose answers are JSON, such as "POST /api/counters". In is a
// struct whose fields are the parameters of the path and of the query, with huma's
// tags, and perhaps a Payload. The summary names the operation in the description.
func JSON[In any](pattern, summary string, handle func(*Call, *In) (*Answer, error), options ...Option) Route {
	return Route{func(a *API, tag string) {
		if p, ok := any(new(In)).(interface{ accept() Option }); ok {
			options = append(options, p.accept())
		}
		rt := newRoute(a.registry, tag, pattern, summary, options)
		rt.query = input.Parameters(reflect.TypeFor[In]())
		rt.Middlewares = huma.Middlewares{func(ctx huma.Context, next func(huma.Context)) {
			r, w := humago.Unwrap(ctx)
			c, err := a.begin(w, r, rt)
			if err != nil {
				c.refuse(err)
				return
			}
			defer c.end() // the answer is written
			next(huma.WithValue(ctx, callKey{}, c))
		}}
		// Huma would read a body that it knows of; a Payload does it, and better.
		var content map[string]*huma.MediaType
		if rt.body != nil {
			content, rt.RequestBody.Content = rt.RequestBody.Content, nil
		}
		huma.Register(a.huma, rt.Operation, func(ctx context.Context, in *In) (*Answer, error) {
			return finish(ctx.Value(callKey{}).(*Call), in, handle)
		})
		if rt.body != nil {
			rt.RequestBody.Content = content
		}
		if rt.DefaultStatus == http.StatusNoContent {
			rt.Responses["204"].Content = nil
		}
		a.added(rt)
	}}
}

// finish is the answer of a handler, or the problem that its error is.
func finish[In any](c *Call, in *In, handle func(*Call, *In) (*Answer, error)) (*Answer, error) {
	a, err := handle(c, in)
	var later *deferred
	switch {
	case errors.As(err, &later):
		return later.answer(c.api.outcomes), nil
	case err != nil:
		return nil, c.problem(err)
	}
	return a, nil
}

// Page is a route whose handler writes the response itself, with the Call's
// Writer; an error that it returns becomes a problem.
func Page(pattern, summary string, handle func(*Call) error, options ...Option) Route {
	return Route{func(a *API, tag string) {
		rt := newRoute(a.registry, tag, pattern, summary, options)
		for part := range strings.SplitSeq(rt.Path, "/") {
			if name, ok := strings.CutPrefix(part, "{"); ok {
				rt.Parameters = append(rt.Parameters, pathParam(strings.TrimSuffix(name, "}")))
			}
		}
		a.document(rt)
		a.mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
			c, err := a.begin(w, r, rt)
			defer c.end()
			if err == nil {
				err = handle(c)
			}
			if err != nil {
				c.refuse(err)
			}
		})
		a.added(rt)
	}}
}

func pathParam(name string) *huma.Param {
	return &huma.Param{Name: name, In: "path", Required: true, Schema: &huma.Schema{Type: huma.TypeString}}
}
