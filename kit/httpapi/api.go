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

	"lonja/kit/httpapi/clientaddr"
	"lonja/kit/httpapi/httpserve"
	"lonja/kit/httpapi/input"
	"lonja/kit/httpapi/problem"
)

// API is a set of routes. Create it with [New], call Add for the routes, then
// Handler once.
type API struct {
	shared
	mux  *http.ServeMux
	huma huma.API

	needsOutcomes, needsTokens bool // at least one route does
}

// shared is what every call of an API uses.
type shared struct {
	Config
	registry     huma.Registry // of the schemas of bodies
	proxies      clientaddr.Proxies
	metrics      *metrics
	bodies       *input.Memory
	largeAnswers *semaphore.Weighted // bytes
	outcomes     string              // path of the Outcomes route, to which a command's ID is appended; "" when there is none
}

// New returns an API without routes. It returns an error that names the setting
// when the configuration is not valid, or when a metric of the same name is already
// registered.
func New(c Config) (*API, error) {
	c, trusted, err := c.check()
	if err != nil {
		return nil, err
	}
	metrics, err := newMetrics(c.Registry, c.Name)
	if err != nil {
		return nil, err
	}
	a := &API{mux: http.NewServeMux()}
	a.huma = humago.New(a.mux, describe(c))
	a.shared = shared{Config: c, registry: a.huma.OpenAPI().Components.Schemas, proxies: trusted, metrics: metrics,
		bodies: input.NewMemory(), largeAnswers: semaphore.NewWeighted(maxLargeAnswers)}
	return a, nil
}

// Handler returns a handler for the routes, for their OpenAPI description at
// /openapi.json and for a page that displays it at /docs. Call it once, after all
// routes are added. It returns an error when a route needs a setting that Config does
// not have.
func (a *API) Handler() (http.Handler, error) {
	switch {
	case a.needsTokens && a.Tokens == nil:
		return nil, errors.New("Config: Tokens is required, because a route has the option SignedIn")
	case a.needsOutcomes && a.outcomes == "":
		return nil, errors.New("add an Outcomes route: it is required, because a route has the option Deferrable")
	}
	if err := serveDocs(a.mux, a.huma.OpenAPI()); err != nil {
		return nil, fmt.Errorf("OpenAPI description: %w", err)
	}
	o := observer{a.metrics, a.Logger, a.Name}
	return o.wrap(allowOrigins(a.CORSOrigins, redirectTrailingSlash(a.mux, a.Name, a.mux))), nil
}

// Mount serves a handler that is not part of the API's description, such as another
// document. It gets metrics, panic recovery and CORS like a route, but no [Call].
func (a *API) Mount(pattern string, h http.Handler) { a.mux.Handle(pattern, h) }

// noteNeeds records which settings a route needs; Handler checks them.
func (a *API) noteNeeds(rt *RouteDetails) {
	a.needsTokens = a.needsTokens || rt.Security != nil
	a.needsOutcomes = a.needsOutcomes || rt.deferrable
}

// document adds a route that huma does not serve to the description.
func (a *API) document(rt *RouteDetails) {
	content := map[string]*huma.MediaType{problemType: {Schema: schemaOf[problem.Problem](a.registry)}}
	for _, status := range rt.Errors {
		if key := strconv.Itoa(status); rt.Responses[key] == nil {
			rt.Responses[key] = &huma.Response{Description: http.StatusText(status), Content: content}
		}
	}
	a.huma.OpenAPI().AddOperation(&rt.Operation)
}

// Serve serves a [API.Handler] on l until ctx ends, then drains for the given time;
// [httpserve.Serve] describes what happens to requests in progress. While it drains,
// each response closes its connection and the [Serving] route answers 503. It returns
// nil after a complete stop, or the listener's error.
func Serve(ctx context.Context, l net.Listener, h http.Handler, drain time.Duration) error {
	return httpserve.Serve(ctx, l, h, drain, maxWait+2*serviceTimeout+largeAnswerTimeout+input.ReadTimeout)
}
