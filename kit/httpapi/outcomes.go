package httpapi

import (
	"context"
	"net/http"
	"strings"

	"lonja/kit/errs"
	"lonja/kit/httpapi/problem"
)

// Outcomes is the route that returns the outcome of a deferred command. The command's
// sender may read it, and users with one of the roles; others get 404. The pattern
// must end with /{id}, as "GET /api/commands/{id}" does.
func Outcomes(pattern, summary string, roles ...string) Route {
	handle := func(c *Call, in *struct {
		ID string `path:"id"`
	}) (*Response, error) {
		return c.outcome(in.ID, roles)
	}
	rt := JSON(pattern, summary, handle, SignedIn, Returns[outcome](http.StatusOK), Fails(http.StatusNotFound))
	return Route{func(a *API, tag string) {
		_, path, _ := strings.Cut(pattern, " ")
		a.outcomes = strings.TrimSuffix(path, "{id}")
		rt.add(a, tag)
	}}
}

func (c *Call) outcome(id string, roles []string) (*Response, error) {
	if !isName(id) {
		return nil, errs.New(errs.NotFound, "there is no such command")
	}
	ctx, cancel := context.WithTimeout(c.Request.Context(), serviceTimeout)
	defer cancel()
	result, owner, err := c.api.Client.Outcome(ctx, id)
	if err != nil {
		return nil, err
	}
	if owner != c.Actor.ID && !c.Actor.HasRole(roles...) {
		return nil, errs.New(errs.NotFound, "there is no deferred command %s", id)
	}
	o := outcome{ID: result.ID, Status: result.Status}
	if result.Problem != nil {
		o.Problem = problem.FromError(result.Problem).In(c.api.Name)
	}
	if result.Result != nil {
		o.Result = result.Result
	}
	a, err := NewJSONResponse(o)
	if err != nil {
		return nil, err
	}
	if result.Position != "" {
		a.ConsistencyToken = MergeToken(c.Seen, result.Position).String()
	}
	return a, nil
}
