package gateway

import (
	"cmp"
	"encoding/json"
	"errors"
	"net/http"
	"strconv"
	"strings"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/validation"

	"lonja/kit/errs"
	"lonja/kit/eventlog"
)

// statuses is how a refusal's code looks in HTTP.
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

// problem is a refusal as RFC 9457 wants it. Code is lonja's own word; there
// are eight.
type problem struct {
	Type     string    `json:"type" doc:"Names the kind of problem" example:"urn:lonja:problem:conflict"`
	Title    string    `json:"title" example:"Conflict"`
	Status   int       `json:"status" example:"409"`
	Detail   string    `json:"detail" doc:"What is wrong, for people"`
	Code     errs.Code `json:"code" enum:"invalid,not_found,conflict,unauthenticated,forbidden,unavailable,rate_limited,internal" doc:"What is wrong, for programs"`
	Field    string    `json:"field,omitempty" doc:"The first field that is wrong" example:"items[2].quantity"`
	Instance string    `json:"instance,omitempty" doc:"Finds this very problem in the log" example:"urn:trace:4bf92f3577b34da6a3ce929d0e0e4736"`
	Errors   []fault   `json:"errors,omitempty" doc:"Every field that is wrong, when there are several"`
	header   http.Header
}

type fault struct {
	Field  string `json:"field"`
	Detail string `json:"detail"`
}

func newProblem(status int, code errs.Code, detail string) *problem {
	return &problem{Type: "urn:lonja:problem:" + string(code), Title: http.StatusText(status), Status: status, Detail: detail, Code: code}
}

// with adds a header to the response.
func (p *problem) with(name, value string) *problem {
	if p.header == nil {
		p.header = http.Header{}
	}
	p.header.Set(name, value)
	return p
}

// What huma asks of an error that it is to answer with.
func (p *problem) Error() string             { return string(p.Code) + ": " + p.Detail }
func (p *problem) GetStatus() int            { return p.Status }
func (p *problem) GetHeaders() http.Header   { return p.header }
func (p *problem) ContentType(string) string { return "application/problem+json" }

// Huma has one function that makes every error of its own; this is the place
// to change it. Nothing but the gateway uses huma.
func init() {
	huma.NewError = func(status int, message string, failed ...error) huma.StatusError {
		var p *problem
		if errors.As(errors.Join(failed...), &p) {
			return p
		}
		if status == http.StatusInternalServerError {
			status = http.StatusBadRequest // a body that broke off: no fault of ours
		}
		var faults []fault
		for _, err := range failed {
			var d *huma.ErrorDetail
			if errors.As(err, &d) {
				faults = append(faults, faultOf(d))
			}
		}
		if len(faults) == 0 {
			return newProblem(status, errs.Invalid, message)
		}
		return faulty(status, faults)
	}
	huma.DefaultArrayNullable = false
	// Huma's words for fields; numbers are written out.
	validation.MsgExpectedBoolean = "must be true or false"
	validation.MsgExpectedInteger = "must be a whole number"
	validation.MsgExpectedNumber = "must be a number"
	validation.MsgExpectedString = "must be a text"
	validation.MsgExpectedArray = "must be a list"
	validation.MsgExpectedObject = "must be an object"
	validation.MsgExpectedOneOf = "must be one of \"%s\""
	validation.MsgExpectedMinimumNumber = "must be at least %.15g"
	validation.MsgExpectedMaximumNumber = "must be at most %.15g"
	validation.MsgExpectedMinLength = "must have at least %d characters"
	validation.MsgExpectedMaxLength = "must have at most %d characters"
}

// faultOf is what huma says of a parameter, without the value: it may be secret.
func faultOf(e *huma.ErrorDetail) fault {
	_, name, _ := strings.Cut(e.Location, ".") // without "query."
	return fault{cmp.Or(name, e.Location), e.Message}
}

// faulty is the problem with fields that are wrong, of which there is one at least.
func faulty(status int, faults []fault) *problem {
	first := faults[0]
	p := newProblem(status, errs.Invalid, cmp.Or(first.Field, "the body")+" "+first.Detail)
	if p.Field = first.Field; len(faults) > 1 {
		p.Errors = faults
	}
	return p
}

// asProblem is a refusal's problem, nil when there is none.
func asProblem(r *errs.Error) *problem {
	if r == nil {
		return nil
	}
	p := newProblem(statuses[r.Code], r.Code, r.Detail)
	p.Field = r.Field
	return p
}

// problem is an error as the one who asks may see it. What is our fault is
// logged, here and nowhere else.
func (c *call) problem(err error) *problem {
	var p *problem
	if errors.As(err, &p) {
		return p
	}
	r, coded := errs.As(err)
	if !coded || statuses[r.Code] == 0 {
		r = errs.New(errs.Internal, "something went wrong on our side")
	}
	status := statuses[r.Code]
	p = asProblem(r)
	if r.Field == eventlog.HeaderAfter { // as services call it
		status = http.StatusBadRequest
		p = newProblem(status, r.Code, strings.Replace(r.Detail, r.Field, consistencyHeader, 1))
		p.Field = consistencyHeader
	}
	switch r.Code {
	case errs.Unauthenticated:
		p.with("WWW-Authenticate", `Bearer realm="lonja"`)
	case errs.Unavailable:
		p.with("Retry-After", "1")
	case errs.RateLimited:
		p.with("Retry-After", strconv.Itoa(max(1, r.RetryAfter)))
	}
	if status >= http.StatusInternalServerError {
		p.Instance = "urn:trace:" + traceID(c.trace)
		c.Logger.WarnContext(c.r.Context(), "a request failed", "route", c.route.pattern, "status", status, "trace", traceID(c.trace), "error", err)
	}
	return p
}

// refuse answers with an error outside of huma.
func (c *call) refuse(err error) { c.problem(err).write(c.w) }

func (p *problem) write(w http.ResponseWriter) {
	h := w.Header()
	for name, values := range p.header {
		h[name] = values
	}
	h.Del("Content-Length")
	h.Set("Content-Type", "application/problem+json")
	h.Set("Cache-Control", "no-store")
	body, _ := json.Marshal(p) // a struct of strings
	w.WriteHeader(p.Status)
	_, _ = w.Write(body)
}
