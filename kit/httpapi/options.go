package httpapi

import (
	"net/http"
	"strconv"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"lonja/kit/httpapi/problem"
)

// About describes a route, besides what other options say of it.
func About(text string) Option {
	return func(d *Details) { d.Description = strings.TrimSpace(d.Description + " " + text) }
}

// Param describes a header that the handler reads.
func Param(p *huma.Param) Option {
	return func(d *Details) { d.Parameters = append(d.Parameters, p) }
}

// Header describes a header of a good answer.
func Header(name, says string) Option {
	return func(d *Details) { d.headers[name] = says }
}

// SignedIn asks for an access token.
func SignedIn(d *Details) {
	d.Security = []map[string][]string{{bearerScheme: {}}}
	d.Errors = append(d.Errors, http.StatusUnauthorized)
}

// OnlyFor asks for an access token of somebody with one of these roles, whom the
// route's description calls whom. Whether they may do this is decided by the
// service; here it is described, and nobody else has it left for later.
func OnlyFor(whom string, roles ...string) Option {
	return func(d *Details) {
		SignedIn(d)
		About(whom + " only.")(d)
		d.roles = roles
		d.Errors = append(d.Errors, http.StatusForbidden)
	}
}

// OrTicket takes a ticket in the place of an access token, when it is for that part
// of the route's path: OrTicket("id") for "/api/counters/{id}". It comes after SignedIn.
func OrTicket(part string) Option {
	return func(d *Details) {
		d.ticketFor, d.query = part, []string{ticketParam}
		d.Security = append(d.Security, map[string][]string{ticketParam: {}})
	}
}

// RateLimited tells the service where a request comes from, by a pseudonym, so
// that it can slow down whoever sends too many.
func RateLimited(d *Details) {
	d.limited = true
	d.Errors = append(d.Errors, http.StatusTooManyRequests)
}

// Idempotent takes an Idempotency-Key. Other routes refuse one.
func Idempotent(d *Details) {
	d.keyed = true
	d.Parameters = append(d.Parameters, keyParam)
	d.headers["Idempotent-Replayed"] = "true when the same request had been answered before"
}

// Deferrable answers 202 when the service is away: what was asked for will be done
// later. It is for routes of JSON whose callers say who they are, for whatever is
// left takes room; and an API with such a route needs an Outcomes route.
func Deferrable(d *Details) {
	d.deferrable = true
	d.Responses["202"] = &huma.Response{
		Description: "The service is away and will do it when it is back",
		Headers:     map[string]*huma.Header{"Location": {Description: "Where the outcome will be told", Schema: &huma.Schema{Type: huma.TypeString}}},
		Content:     map[string]*huma.MediaType{"application/json": {Schema: schemaOf[outcome](d.registry)}},
	}
}

// Accepts takes a JSON body that is to be a T. JSON knows by itself; it is for
// routes of Page.
func Accepts[T any](d *Details) {
	d.body = schemaOf[T](d.registry)
	d.RequestBody = &huma.RequestBody{Required: true, Content: map[string]*huma.MediaType{"application/json": {Schema: d.body}}}
	d.Errors = append(d.Errors, http.StatusRequestEntityTooLarge, http.StatusUnsupportedMediaType)
}

const formType = "application/x-www-form-urlencoded"

// AcceptsForm takes the same fields as a form, too. It comes after Accepts.
func AcceptsForm(d *Details) {
	d.RequestBody.Content[formType] = &huma.MediaType{Schema: d.body}
}

// AnyQuery takes no notice of query parameters. It is for routes of probes and
// monitors, which add to the query what they like; other routes refuse them.
func AnyQuery(d *Details) { d.anyQuery = true }

// AfterQuery takes a consistency token in the query parameter after, of a browser
// that was redirected here.
func AfterQuery(d *Details) {
	d.afterQuery, d.query = true, []string{afterParam.Name}
	d.Parameters = append(d.Parameters, afterParam)
}

// Returns answers with a T as JSON. Without it, or ReturnsText, a good answer is 204.
func Returns[T any](status int) Option {
	return func(d *Details) { d.responds(status, "application/json", schemaOf[T](d.registry)) }
}

// ReturnsText answers 200 with a text of another media type.
func ReturnsText(contentType string) Option {
	return func(d *Details) {
		d.responds(http.StatusOK, contentType, &huma.Schema{Type: huma.TypeString})
	}
}

// ReturnsNothing may answer 204, for the reason that says gives.
func ReturnsNothing(says string) Option {
	return func(d *Details) { d.Responses["204"] = &huma.Response{Description: says} }
}

// ReturnsToken describes the Consistency-Token of a good answer. Routes below /api/
// have it without this option.
func ReturnsToken(d *Details) { d.headers[consistencyHeader] = seenHeader }

// Redirects may answer 303, with a Location and a Consistency-Token, when what says
// describes is the case.
func Redirects(says string) Option {
	return func(d *Details) {
		d.Responses["303"] = &huma.Response{Description: says, Headers: map[string]*huma.Header{
			"Location": {Schema: textSchema}, consistencyHeader: {Description: seenHeader, Schema: textSchema}}}
	}
}

// returnsToo may also answer with a T as JSON and another status.
func returnsToo[T any](status int, says string) Option {
	return func(d *Details) {
		d.Responses[strconv.Itoa(status)] = &huma.Response{Description: says,
			Content: map[string]*huma.MediaType{"application/json": {Schema: schemaOf[T](d.registry)}}}
	}
}

// FailsWithPage may answer with this status, and with a page of HTML instead of a
// problem when a browser asks.
func FailsWithPage(status int) Option {
	return func(d *Details) {
		d.Responses[strconv.Itoa(status)] = &huma.Response{Description: http.StatusText(status), Content: map[string]*huma.MediaType{
			problemType: {Schema: schemaOf[problem.Problem](d.registry)}, "text/html": {Schema: textSchema}}}
	}
}

// Fails may answer with these statuses, besides those that any route may.
func Fails(statuses ...int) Option {
	return func(d *Details) { d.Errors = append(d.Errors, statuses...) }
}
