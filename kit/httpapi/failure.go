package httpapi

import (
	"errors"
	"net/http"
	"strings"

	"lonja/kit/errs"
	"lonja/kit/eventlog"
	"lonja/kit/httpapi/problem"
)

// problem is an error as the one who asks may see it. What is our fault is
// logged, here and nowhere else.
func (c *Call) problem(err error) *problem.Problem {
	var ready *problem.Problem
	if errors.As(err, &ready) {
		return ready.In(c.api.Name)
	}
	p := problem.Of(err)
	switch {
	case p.Field == eventlog.HeaderAfter: // as services call it
		p = problem.Malformed(strings.Replace(p.Detail, p.Field, consistencyHeader, 1))
		p.Field = consistencyHeader
	case p.Code == errs.Unauthenticated:
		p.With("WWW-Authenticate", `Bearer realm="`+c.api.Name+`"`)
	}
	if p.Status >= http.StatusInternalServerError {
		id := traceID(c.trace)
		p.Instance = "urn:trace:" + id
		c.api.Logger.WarnContext(c.Request.Context(), "a request failed", "route", c.route.pattern, "status", p.Status, "trace", id, "error", err)
	}
	return p.In(c.api.Name)
}

// refuse answers with an error outside of huma.
func (c *Call) refuse(err error) { c.problem(err).Write(c.Writer) }
