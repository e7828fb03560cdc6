package httpapi

import (
	"net/http"
	"strconv"
	"strings"

	"github.com/danielgtaylor/huma/v2"
)

// RouteDetails is what options set on a route. An option of the caller's own may change
// the Operation, which is the route's OpenAPI description.
type RouteDetails struct {
	huma.Operation
	registry    huma.Registry     // of the schemas of bodies
	pattern     string            // "POST /api/counters"
	idempotent  bool              // accepts an Idempotency-Key
	rateLimited bool              // passes a pseudonym of the client's address to the service
	deferrable  bool              // its command may be deferred
	roles       []string          // the actor must have one; empty if only the service decides
	query       []string          // names of the query parameters
	anyQuery    bool              // ignores other query parameters
	afterQuery  bool              // accepts a consistency token in the query
	ticketFor   string            // the path parameter that a ticket must be for; "" if the route takes no tickets
	body        *huma.Schema      // of a JSON body; nil when there is none
	headers     map[string]string // of a successful response: name to description
}

func newRoute(r huma.Registry, tag, pattern, summary string, options []Option) *RouteDetails {
	method, path, _ := strings.Cut(pattern, " ")
	rt := &RouteDetails{pattern: pattern, registry: r, headers: map[string]string{}, Operation: huma.Operation{
		Method: method, Path: path, Summary: summary, Tags: []string{tag},
		OperationID: strings.ReplaceAll(strings.ReplaceAll(strings.ToLower(summary), "'", ""), " ", "-"),
		Responses:   map[string]*huma.Response{},
		Errors:      []int{http.StatusBadRequest, http.StatusUnprocessableEntity, http.StatusInternalServerError, http.StatusServiceUnavailable},
	}}
	if strings.HasPrefix(path, "/api/") {
		rt.Parameters = []*huma.Param{consistencyParam, traceParam}
		rt.headers[consistencyHeader] = "Sent back, it makes every replica show this change"
		if method == http.MethodGet {
			rt.headers[consistencyHeader] = seenHeader
		}
	}
	for _, set := range options {
		set(rt)
	}
	if rt.DefaultStatus == 0 {
		rt.DefaultStatus = http.StatusNoContent
	}
	rt.describeHeaders()
	return rt
}

func (rt *RouteDetails) responds(status int, contentType string, schema *huma.Schema) {
	rt.DefaultStatus = status
	key := strconv.Itoa(status)
	if rt.Responses[key] == nil {
		rt.Responses[key] = &huma.Response{Description: http.StatusText(status), Content: map[string]*huma.MediaType{}}
	}
	rt.Responses[key].Content[contentType] = &huma.MediaType{Schema: schema}
}

// describeHeaders adds the headers to the description of the successful response.
func (rt *RouteDetails) describeHeaders() {
	key := strconv.Itoa(rt.DefaultStatus)
	if rt.Responses[key] == nil {
		rt.Responses[key] = &huma.Response{Description: http.StatusText(rt.DefaultStatus)}
	}
	headers := map[string]*huma.Header{}
	for name, description := range rt.headers {
		headers[name] = &huma.Header{Description: description, Schema: &huma.Schema{Type: huma.TypeString}}
	}
	rt.Responses[key].Headers = headers
}

// Option sets something on a route: how it behaves, how it is described, or both.
// Options are SignedIn, OnlyFor, OrTicket, Idempotent, Deferrable, Accepts, AcceptsForm,
// AnyQuery, Returns, ReturnsNoContent, ReturnsToken, Redirects, Fails, FailsWithPage and
// About.
type Option func(*RouteDetails)

// Options combines several options into one.
func Options(options ...Option) Option {
	return func(d *RouteDetails) {
		for _, set := range options {
			set(d)
		}
	}
}
