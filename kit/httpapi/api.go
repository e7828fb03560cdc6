package httpapi

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"
	"golang.org/x/sync/semaphore"

	"lonja/kit/httpapi/httpserve"
	"lonja/kit/httpapi/input"
	"lonja/kit/httpapi/problem"
)

// API is a list of routes, and what they have in common. Make one with New, Add
// routes, then take its Handler.
type API struct {
	shared
	mux  *http.ServeMux
	huma huma.API

	needsOutcomes, needsTokens bool // some route does
}

// New is an API without routes. The error says what is wrong with the
// configuration.
func New(c Config) (*API, error) {
	c, trusted, err := c.check()
	if err != nil {
		return nil, err
	}
	measured, err := newMeasures(c.Registry, c.Name)
	if err != nil {
		return nil, err
	}
	a := &API{mux: http.NewServeMux()}
	a.huma = humago.New(a.mux, describe(c))
	a.shared = shared{Config: c, registry: a.huma.OpenAPI().Components.Schemas, proxies: trusted, measured: measured,
		bodies: input.NewMemory(), large: semaphore.NewWeighted(allLarge)}
	return a, nil
}

// Handler serves the routes, their description at /openapi.json and a page to read
// it with at /docs. Call it once, when all routes were added. The error says which
// part of the configuration a route needs.
func (a *API) Handler() (http.Handler, error) {
	switch {
	case a.needsTokens && a.Tokens == nil:
		return nil, errors.New("a route is SignedIn: Tokens is required")
	case a.needsOutcomes && a.outcomes == "":
		return nil, errors.New("a route is Deferrable: an Outcomes route is required")
	}
	if err := serveDocs(a.mux, a.huma.OpenAPI()); err != nil {
		return nil, fmt.Errorf("the description: %w", err)
	}
	o := observer{a.measured, a.Logger, a.Name}
	return o.wrap(allowOrigins(a.CORSOrigins, withoutSlash(a.mux, a.Name, a.mux))), nil
}

// Mount serves what is no part of the API and of its description, such as another
// document. It has the API's metrics, recovery and CORS, and nothing of a Call.
func (a *API) Mount(pattern string, h http.Handler) { a.mux.Handle(pattern, h) }

// added takes notice of what a route needs.
func (a *API) added(rt *Details) {
	a.needsTokens = a.needsTokens || rt.Security != nil
	a.needsOutcomes = a.needsOutcomes || rt.deferrable
}

// document describes a route that huma does not serve.
func (a *API) document(rt *Details) {
	content := map[string]*huma.MediaType{problemType: {Schema: schemaOf[problem.Problem](a.registry)}}
	for _, status := range rt.Errors {
		if key := strconv.Itoa(status); rt.Responses[key] == nil {
			rt.Responses[key] = &huma.Response{Description: http.StatusText(status), Content: content}
		}
	}
	a.huma.OpenAPI().AddOperation(&rt.Operation)
}

// Serve serves a Handler until ctx ends; see httpserve.Serve, which says what
// becomes of requests under way. While it drains, each answer ends its connection,
// and the Serving route says 503.
func Serve(ctx context.Context, l net.Listener, h http.Handler, drain time.Duration) error {
	return httpserve.Serve(ctx, l, h, drain, longestWait+2*patience+largePatience+input.ReadTimeout)
}
