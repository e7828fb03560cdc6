package httpapi

import (
	"net/http"
	"strconv"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"lonja/kit/httpapi/problem"
)

// About adds a text to the route's description.
func About(text string) Option {
	return func(d *RouteDetails) { d.Description = strings.TrimSpace(d.Description + " " + text) }
}

// Param describes a parameter that the handler reads itself, such as a header.
func Param(p *huma.Param) Option {
	return func(d *RouteDetails) { d.Parameters = append(d.Parameters, p) }
}

// Header describes a header of the successful response.
func Header(name, description string) Option {
	return func(d *RouteDetails) { d.headers[name] = description }
}

// SignedIn requires an access token. Requests without a valid one get 401.
func SignedIn(d *RouteDetails) {
	d.Security = []map[string][]string{{bearerScheme: {}}}
	d.Errors = append(d.Errors, http.StatusUnauthorized)
}

// OnlyFor does not check roles: the service that handles the command does. It requires
// an access token, like SignedIn, describes the route as one for users with one of the
// roles, whom the description calls users, such as "Staff", and keeps commands of others
// from being deferred.
func OnlyFor(users string, roles ...string) Option {
	return func(d *RouteDetails) {
		SignedIn(d)
		About(users + " only.")(d)
		d.roles = roles
		d.Errors = append(d.Errors, http.StatusForbidden)
	}
}

// OrTicket accepts a ticket in the query instead of an access token, if the ticket is for
// the value of the path parameter: OrTicket("id") for "/api/counters/{id}". It must come
// after SignedIn.
func OrTicket(parameter string) Option {
	return func(d *RouteDetails) {
		d.ticketFor, d.query = parameter, []string{ticketParam}
		d.Security = append(d.Security, map[string][]string{ticketParam: {}})
	}
}

// RateLimited passes a pseudonym of the client's address to the service as the actor's
// ClientNetwork, so that the service can limit the requests from one address.
func RateLimited(d *RouteDetails) {
	d.rateLimited = true
	d.Errors = append(d.Errors, http.StatusTooManyRequests)
}

// Idempotent accepts an Idempotency-Key. Routes without this option reject one with 422.
func Idempotent(d *RouteDetails) {
	d.idempotent = true
	d.Parameters = append(d.Parameters, keyParam)
	d.headers["Idempotent-Replayed"] = "true when the same request was answered before"
}

// Deferrable stores a command whose service does not answer, and answers 202; the
// service handles the command when it is back. It is for JSON routes that are SignedIn:
// commands of anonymous callers are not stored, because they take up space. An API with
// such a route must have an Outcomes route.
func Deferrable(d *RouteDetails) {
	d.deferrable = true
	d.Responses["202"] = &huma.Response{
		Description: "The service is unavailable; it handles the command when it is back",
		Headers:     map[string]*huma.Header{"Location": {Description: "Where the outcome can be read", Schema: &huma.Schema{Type: huma.TypeString}}},
		Content:     map[string]*huma.MediaType{"application/json": {Schema: schemaOf[outcome](d.registry)}},
	}
}

// Accepts declares a JSON body of type T. It is for routes made with Page; JSON adds it
// for a Payload.
func Accepts[T any](d *RouteDetails) {
	d.body = schemaOf[T](d.registry)
	d.RequestBody = &huma.RequestBody{Required: true, Content: map[string]*huma.MediaType{"application/json": {Schema: d.body}}}
	d.Errors = append(d.Errors, http.StatusRequestEntityTooLarge, http.StatusUnsupportedMediaType)
}

// bodyOptional allows requests without a body. It must come after Accepts.
func bodyOptional(d *RouteDetails) { d.RequestBody.Required = false }

const formType = "application/x-www-form-urlencoded"

// AcceptsForm also accepts the same fields as a URL-encoded form. It must come after
// Accepts.
func AcceptsForm(d *RouteDetails) {
	d.RequestBody.Content[formType] = &huma.MediaType{Schema: d.body}
}

// AnyQuery ignores unknown query parameters, which other routes reject with 422. It is
// for routes of probes and monitors, which may add parameters of their own.
func AnyQuery(d *RouteDetails) { d.anyQuery = true }

// AfterQuery accepts a consistency token in the query parameter "after", for a browser
// that follows a redirect and cannot send the header.
func AfterQuery(d *RouteDetails) {
	d.afterQuery, d.query = true, []string{afterParam.Name}
	d.Parameters = append(d.Parameters, afterParam)
}

// Returns declares the successful response: its status, and a T as JSON. Without Returns
// or ReturnsText it is 204.
func Returns[T any](status int) Option {
	return func(d *RouteDetails) { d.responds(status, "application/json", schemaOf[T](d.registry)) }
}

// ReturnsText declares a successful response 200 that is a text of this media type.
func ReturnsText(contentType string) Option {
	return func(d *RouteDetails) {
		d.responds(http.StatusOK, contentType, &huma.Schema{Type: huma.TypeString})
	}
}

// ReturnsNoContent declares that the route can also answer 204, and describes when.
func ReturnsNoContent(description string) Option {
	return func(d *RouteDetails) { d.Responses["204"] = &huma.Response{Description: description} }
}

// ReturnsToken declares the Consistency-Token of the successful response. Routes below /api/
// have it without this option.
func ReturnsToken(d *RouteDetails) { d.headers[consistencyHeader] = seenHeader }

// Redirects declares that the route can also answer 303, with a Location and a
// Consistency-Token, and describes when.
func Redirects(description string) Option {
	return func(d *RouteDetails) {
		d.Responses["303"] = &huma.Response{Description: description, Headers: map[string]*huma.Header{
			"Location": {Schema: textSchema}, consistencyHeader: {Description: seenHeader, Schema: textSchema}}}
	}
}

// returnsAlso declares another status with a T as JSON.
func returnsAlso[T any](status int, description string) Option {
	return func(d *RouteDetails) {
		d.Responses[strconv.Itoa(status)] = &huma.Response{Description: description,
			Content: map[string]*huma.MediaType{"application/json": {Schema: schemaOf[T](d.registry)}}}
	}
}

// FailsWithPage declares an error status for which a browser gets an HTML page instead of a
// problem.
func FailsWithPage(status int) Option {
	return func(d *RouteDetails) {
		d.Responses[strconv.Itoa(status)] = &huma.Response{Description: http.StatusText(status), Content: map[string]*huma.MediaType{
			problemType: {Schema: schemaOf[problem.Problem](d.registry)}, "text/html": {Schema: textSchema}}}
	}
}

// Fails declares error statuses, besides those that every route can answer with.
func Fails(statuses ...int) Option {
	return func(d *RouteDetails) { d.Errors = append(d.Errors, statuses...) }
}
