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

// Route is a pattern with its handler and its description. JSON and Page make one.
type Route struct{ add func(a *API, tag string) }

// Add adds routes, which the description lists under the tag. It panics when two routes
// have the same pattern or the same summary.
func (a *API) Add(tag string, routes ...Route) {
	for _, rt := range routes {
		rt.add(a, tag)
	}
}

// Payload declares a JSON body of type T. Embed it in the input struct of a JSON route.
type Payload[T any] struct{}

func (Payload[T]) accept() Option { return Accepts[T] }

// Body reads and decodes the body. The error is a problem that names the invalid fields.
func (Payload[T]) Body(c *Call) (T, error) { return Body[T](c) }

// OptionalPayload is a Payload that requests may leave out.
type OptionalPayload[T any] struct{}

func (OptionalPayload[T]) accept() Option { return Options(Accepts[T], bodyOptional) }

// Body reads and decodes the body, as that of a Payload. Without a body, also when one of
// unknown length was announced, it returns the zero value.
func (OptionalPayload[T]) Body(c *Call) (v T, err error) {
	raw, release, err := c.api.bodies.ReadOptional(c.Writer, c.Request)
	if err != nil {
		return v, err
	}
	defer release()
	if len(raw) > 0 {
		err = input.Parse(c.api.registry, c.route.body, raw, &v)
	}
	return v, err
}

type callKey struct{}

// JSON makes a route whose responses are JSON. The pattern is a method and a path, such as
// "POST /api/counters". In is a struct whose fields are the parameters of the path and of
// the query, with huma's tags, and may embed a Payload or an OptionalPayload. The summary must be unique: the
// operation's ID is made from it. An error that handle returns becomes a problem.
func JSON[In any](pattern, summary string, handle func(*Call, *In) (*Response, error), options ...Option) Route {
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
				c.writeProblem(err)
				return
			}
			defer c.end() // the response is written
			next(huma.WithValue(ctx, callKey{}, c))
		}}
		// Huma would read a body that it knows of. Payload reads it instead: strictly, and
		// within the bound for all bodies.
		var content map[string]*huma.MediaType
		if rt.body != nil {
			content, rt.RequestBody.Content = rt.RequestBody.Content, nil
		}
		huma.Register(a.huma, rt.Operation, func(ctx context.Context, in *In) (*Response, error) {
			return runHandler(ctx.Value(callKey{}).(*Call), in, handle)
		})
		if rt.body != nil {
			rt.RequestBody.Content = content
		}
		if rt.DefaultStatus == http.StatusNoContent {
			rt.Responses["204"].Content = nil
		}
		a.noteNeeds(rt)
	}}
}

// runHandler calls a handler, and turns its error into a problem or the response 202.
func runHandler[In any](c *Call, in *In, handle func(*Call, *In) (*Response, error)) (*Response, error) {
	a, err := handle(c, in)
	var stored *deferred
	switch {
	case errors.As(err, &stored):
		return stored.response(c.api.outcomes), nil
	case err != nil:
		return nil, c.problem(err)
	}
	return a, nil
}

// Page makes a route whose handler writes the response itself, to the Call's Writer. An
// error that the handler returns becomes a problem; the handler must not have written
// anything then.
func Page(pattern, summary string, handle func(*Call) error, options ...Option) Route {
	return Route{func(a *API, tag string) {
		rt := newRoute(a.registry, tag, pattern, summary, options)
		for segment := range strings.SplitSeq(rt.Path, "/") {
			if name, ok := strings.CutPrefix(segment, "{"); ok {
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
				c.writeProblem(err)
			}
		})
		a.noteNeeds(rt)
	}}
}

func pathParam(name string) *huma.Param {
	return &huma.Param{Name: name, In: "path", Required: true, Schema: &huma.Schema{Type: huma.TypeString}}
}
