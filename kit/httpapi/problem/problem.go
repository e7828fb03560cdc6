// Package problem shows errors to HTTP clients, as RFC 9457 says: JSON of the
// media type application/problem+json.
//
// It holds the one table from the codes of errors to HTTP statuses. What an
// error says beside its code is for the client's developer; an error without a
// code becomes "internal" and shows nothing of itself.
//
// Importing the package gives huma this type for the errors that huma makes
// itself, and plain words for what is wrong with a value. Huma keeps both for
// the whole process.
package problem

import (
	"cmp"
	"encoding/json"
	"errors"
	"net/http"
	"strconv"

	"lonja/kit/errs"
)

// statuses is the HTTP status of each code.
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

// Problem is an error as a client sees it. It is an error itself, which means
// that it can be returned where its status is known best.
type Problem struct {
	Type     string    `json:"type" doc:"Names the kind of problem"`
	Title    string    `json:"title" example:"Conflict"`
	Status   int       `json:"status" example:"409"`
	Detail   string    `json:"detail" doc:"What is wrong, for people"`
	Code     errs.Code `json:"code" enum:"invalid,not_found,conflict,unauthenticated,forbidden,unavailable,rate_limited,internal" doc:"What is wrong, for programs"`
	Field    string    `json:"field,omitempty" doc:"The first field that is wrong" example:"items[2].quantity"`
	Instance string    `json:"instance,omitempty" doc:"Finds this very problem in the log" example:"urn:trace:4bf92f3577b34da6a3ce929d0e0e4736"`
	Errors   []Fault   `json:"errors,omitempty" doc:"Every field that is wrong, when there are several"`
	header   http.Header
}

// Fault is what is wrong with one field. The value is left out: it may be secret.
type Fault struct {
	Field  string `json:"field"` // as a JSON path such as a[2].b; "" is the whole body
	Detail string `json:"detail"`
}

// New is a problem with a status of its own. It has no Type until In is called.
func New(status int, code errs.Code, detail string) *Problem {
	return &Problem{Title: http.StatusText(status), Status: status, Detail: detail, Code: code}
}

// Malformed is the problem of a request that cannot be read: status 400.
func Malformed(detail string) *Problem {
	return New(http.StatusBadRequest, errs.Invalid, detail)
}

// Faulty is the problem of a request with fields that are wrong: status 422.
// There must be one at least.
func Faulty(faults []Fault) *Problem { return withFaults(http.StatusUnprocessableEntity, faults) }

func withFaults(status int, faults []Fault) *Problem {
	first := faults[0]
	p := New(status, errs.Invalid, cmp.Or(first.Field, "the body")+" "+first.Detail)
	if p.Field = first.Field; len(faults) > 1 {
		p.Errors = faults
	}
	return p
}

// Of is the problem that an error is to a client. A *Problem is itself. An error
// with a code has its status by the table, and says in Retry-After, in seconds,
// when to try again if that is worth while. Any other error is "internal".
func Of(err error) *Problem {
	var p *Problem
	if errors.As(err, &p) {
		return p
	}
	r, coded := errs.As(err)
	if !coded || statuses[r.Code] == 0 {
		return Internal()
	}
	p = New(statuses[r.Code], r.Code, r.Detail)
	p.Field = r.Field
	switch r.Code {
	case errs.Unavailable:
		p.With("Retry-After", "1")
	case errs.RateLimited:
		p.With("Retry-After", strconv.Itoa(max(1, r.RetryAfter)))
	}
	return p
}

// Internal is the problem of an error that is nobody's business: status 500.
func Internal() *Problem {
	return New(http.StatusInternalServerError, errs.Internal, "something went wrong on our side")
}

// With adds a header to the response.
func (p *Problem) With(name, value string) *Problem {
	if p.header == nil {
		p.header = http.Header{}
	}
	p.header.Set(name, value)
	return p
}

// In gives the problem its Type, urn:NAMESPACE:problem:CODE.
func (p *Problem) In(namespace string) *Problem {
	p.Type = "urn:" + namespace + ":problem:" + string(p.Code)
	return p
}

// Write answers a request with the problem, in the place of any other answer
// whose headers were set already.
func (p *Problem) Write(w http.ResponseWriter) {
	h := w.Header()
	for name, values := range p.header {
		h[name] = values
	}
	h.Del("Content-Length")
	h.Set("Content-Type", contentType)
	h.Set("Cache-Control", "no-store")
	body, _ := json.Marshal(p) // a struct of strings
	w.WriteHeader(p.Status)
	_, _ = w.Write(body)
}

const contentType = "application/problem+json"

// Error implements error.
func (p *Problem) Error() string { return string(p.Code) + ": " + p.Detail }
