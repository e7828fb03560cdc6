package httpapi

import (
	"errors"
	"net/http"
	"strings"

	"lonja/kit/errs"
	"lonja/kit/eventlog"
	"lonja/kit/httpapi/problem"
)

// problem returns the problem that the client gets for an error. Errors of the server
// are logged here and nowhere else.
func (c *Call) problem(err error) *problem.Problem {
	var ready *problem.Problem
	if errors.As(err, &ready) {
		return ready.In(c.api.Name)
	}
	p := problem.FromError(err)
	switch {
	case p.Field == eventlog.HeaderAfter: // the services' name for the consistency token
		p = problem.Malformed(strings.Replace(p.Detail, p.Field, consistencyHeader, 1))
		p.Field = consistencyHeader
	case p.Code == errs.Unauthenticated:
		p.With("WWW-Authenticate", `Bearer realm="`+c.api.Name+`"`)
	}
	if p.Status >= http.StatusInternalServerError {
		id := c.trace.id()
		p.Instance = "urn:trace:" + id
		c.api.Logger.WarnContext(c.Request.Context(), "request failed", "route", c.route.pattern, "status", p.Status, "trace", id, "error", err)
	}
	return p.In(c.api.Name)
}

// writeProblem writes an error as a problem, without huma.
func (c *Call) writeProblem(err error) { c.problem(err).Write(c.Writer) }
