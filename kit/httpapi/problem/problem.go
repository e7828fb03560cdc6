// Package problem turns errors into HTTP problem details (RFC 9457): JSON of the media type
// application/problem+json.
//
// It holds the only table from error codes (package errs) to HTTP statuses. The detail of an
// error with a code is shown to the client; it is written for the client's developer. An
// error without a code becomes "internal", and nothing of it is shown.
//
// Use [FromError] for an error of a service, or [New], [Malformed] and [InvalidFields] for
// one that HTTP itself causes; then set the type with In, and Write it.
//
// Importing the package changes huma for the whole process: huma uses this type for its own
// errors, and simpler texts for invalid values.
package problem

import (
	"cmp"
	"encoding/json"
	"errors"
	"net/http"
	"strconv"

	"lonja/kit/errs"
)

// statuses maps each code to its HTTP status.
var statuses = map[errs.Code]int{
	errs.Invalid:         http.StatusUnprocessableEntity,
	errs.NotFound:        http.StatusNotFound,
	errs.Conflict:        http.StatusConflict,
	errs.Unauthenticated: http.StatusUnauthorized,
	errs.Forbidden:       http.StatusForbidden,
	errs.Unavailable:     http.StatusServiceUnavailable,
	errs.RateLimited:     http.StatusTooManyRequests,
	errs.Internal:        http.StatusInternalServerError,
}

// Problem is an error as a client sees it. It implements error, so that code that knows the
// right status can return it.
type Problem struct {
	Type     string    `json:"type" doc:"The kind of problem, as a URN"`
	Title    string    `json:"title" example:"Conflict"`
	Status   int       `json:"status" example:"409"`
	Detail   string    `json:"detail" doc:"What is wrong, for people"`
	Code     errs.Code `json:"code" enum:"invalid,not_found,conflict,unauthenticated,forbidden,unavailable,rate_limited,internal" doc:"What is wrong, for programs"`
	Field    string    `json:"field,omitempty" doc:"The first field that is wrong" example:"items[2].quantity"`
	Instance string    `json:"instance,omitempty" doc:"Identifies this occurrence, and finds it in the server's log" example:"urn:trace:4bf92f3577b34da6a3ce929d0e0e4736"`
	Errors   []Fault   `json:"errors,omitempty" doc:"Every field that is wrong, when there are several"`
	header   http.Header
}

// Fault is an invalid field. It does not contain the value, which may be secret.
type Fault struct {
	Field  string `json:"field"` // as a JSON path such as a[2].b; "" is the whole body
	Detail string `json:"detail"`
}

// New returns a problem with a status that differs from that of its code. It has no Type
// until In is called.
func New(status int, code errs.Code, detail string) *Problem {
	return &Problem{Title: http.StatusText(status), Status: status, Detail: detail, Code: code}
}

// Malformed returns the problem for a request that cannot be parsed: status 400, code
// invalid.
func Malformed(detail string) *Problem {
	return New(http.StatusBadRequest, errs.Invalid, detail)
}

// InvalidFields returns the problem for a request with invalid fields: status 422, code
// invalid. There must be at least one.
func InvalidFields(faults []Fault) *Problem {
	return withFields(http.StatusUnprocessableEntity, faults)
}

func withFields(status int, faults []Fault) *Problem {
	first := faults[0]
	p := New(status, errs.Invalid, cmp.Or(first.Field, "the body")+" "+first.Detail)
	if p.Field = first.Field; len(faults) > 1 {
		p.Errors = faults
	}
	return p
}

// FromError returns the problem for an error. If err wraps a *Problem, that is the result. An
// error with a code gets the status of the table, and a Retry-After header, in seconds, if
// the code is Unavailable or RateLimited. Any other error is Internal.
func FromError(err error) *Problem {
	var p *Problem
	if errors.As(err, &p) {
		return p
	}
	e, ok := errs.As(err)
	if !ok || statuses[e.Code] == 0 {
		return Internal()
	}
	p = New(statuses[e.Code], e.Code, e.Detail)
	p.Field = e.Field
	switch e.Code {
	case errs.Unavailable, errs.RateLimited:
		p.With("Retry-After", strconv.Itoa(max(1, e.RetryAfter)))
	}
	return p
}

// Internal returns the problem for an error that is not shown to clients: status 500.
func Internal() *Problem {
	return New(http.StatusInternalServerError, errs.Internal, "something went wrong on our side")
}

// With sets a header of the response, and returns p.
func (p *Problem) With(name, value string) *Problem {
	if p.header == nil {
		p.header = http.Header{}
	}
	p.header.Set(name, value)
	return p
}

// In sets the problem's Type to urn:NAMESPACE:problem:CODE, and returns p.
func (p *Problem) In(namespace string) *Problem {
	p.Type = "urn:" + namespace + ":problem:" + string(p.Code)
	return p
}

// Write writes the problem as the response. It overwrites Content-Type, Content-Length and
// Cache-Control that were set for another response.
func (p *Problem) Write(w http.ResponseWriter) {
	h := w.Header()
	for name, values := range p.header {
		h[name] = values
	}
	h.Del("Content-Length")
	h.Set("Content-Type", contentType)
	h.Set("Cache-Control", "no-store")
	body, _ := json.Marshal(p) // cannot fail: strings and numbers
	w.WriteHeader(p.Status)
	_, _ = w.Write(body)
}

const contentType = "application/problem+json"

// Error implements error.
func (p *Problem) Error() string { return string(p.Code) + ": " + p.Detail }
