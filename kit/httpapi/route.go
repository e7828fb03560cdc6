package httpapi

import (
	"net/http"
	"strconv"
	"strings"

	"github.com/danielgtaylor/huma/v2"
)

// Details are what options say of a route. An option of one's own may add to the
// Operation, which is how the route is described.
type Details struct {
	huma.Operation
	registry   huma.Registry     // of the schemas of bodies
	pattern    string            // "POST /api/counters"
	keyed      bool              // takes an Idempotency-Key
	limited    bool              // tells the service where it comes from
	deferrable bool              // what it asks for may be left for later
	roles      []string          // those that may do what it asks for; none when only the service can tell
	query      []string          // names of the query parameters
	anyQuery   bool              // takes no notice of other ones
	afterQuery bool              // takes a consistency token in the query
	ticketFor  string            // the part of the path that a ticket must be for; "" takes none
	body       *huma.Schema      // of a JSON body; nil when there is none
	headers    map[string]string // of a good answer, and what they say
}

func newRoute(r huma.Registry, tag, pattern, summary string, options []Option) *Details {
	method, path, _ := strings.Cut(pattern, " ")
	rt := &Details{pattern: pattern, registry: r, headers: map[string]string{}, Operation: huma.Operation{
		Method: method, Path: path, Summary: summary, Tags: []string{tag},
		OperationID: strings.ReplaceAll(strings.ReplaceAll(strings.ToLower(summary), "'", ""), " ", "-"),
		Responses:   map[string]*huma.Response{},
		Errors:      []int{http.StatusBadRequest, http.StatusUnprocessableEntity, http.StatusInternalServerError, http.StatusServiceUnavailable},
	}}
	if strings.HasPrefix(path, "/api/") {
		rt.Parameters = []*huma.Param{consistencyParam, traceParam}
		rt.headers[consistencyHeader] = "Sent back, it makes any replica show this change"
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
	rt.announce()
	return rt
}

func (rt *Details) responds(status int, contentType string, schema *huma.Schema) {
	rt.DefaultStatus = status
	key := strconv.Itoa(status)
	if rt.Responses[key] == nil {
		rt.Responses[key] = &huma.Response{Description: http.StatusText(status), Content: map[string]*huma.MediaType{}}
	}
	rt.Responses[key].Content[contentType] = &huma.MediaType{Schema: schema}
}

// announce describes the headers of a good answer.
func (rt *Details) announce() {
	key := strconv.Itoa(rt.DefaultStatus)
	if rt.Responses[key] == nil {
		rt.Responses[key] = &huma.Response{Description: http.StatusText(rt.DefaultStatus)}
	}
	described := map[string]*huma.Header{}
	for name, says := range rt.headers {
		described[name] = &huma.Header{Description: says, Schema: &huma.Schema{Type: huma.TypeString}}
	}
	rt.Responses[key].Headers = described
}

// Option says something about a route, to the API or to its readers.
type Option func(*Details)

// Options is several options in one.
func Options(options ...Option) Option {
	return func(d *Details) {
		for _, set := range options {
			set(d)
		}
	}
}
