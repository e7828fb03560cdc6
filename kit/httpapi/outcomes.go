package httpapi

import (
	"context"
	"net/http"
	"strings"

	"lonja/kit/errs"
	"lonja/kit/httpapi/problem"
)

// Outcomes is the route that tells what became of a command that was left for
// later: to whoever sent it, and to those with one of the roles. The pattern must end
// with /{id}, as "GET /api/commands/{id}" does.
func Outcomes(pattern, summary string, roles ...string) Route {
	tell := func(c *Call, in *struct {
		ID string `path:"id"`
	}) (*Answer, error) {
		return c.outcome(in.ID, roles)
	}
	rt := JSON(pattern, summary, tell, SignedIn, Returns[outcome](http.StatusOK), Fails(http.StatusNotFound))
	return Route{func(a *API, tag string) {
		_, path, _ := strings.Cut(pattern, " ")
		a.outcomes = strings.TrimSuffix(path, "{id}")
		rt.add(a, tag)
	}}
}

func (c *Call) outcome(id string, roles []string) (*Answer, error) {
	if !isName(id) {
		return nil, errs.New(errs.NotFound, "there is no such thing")
	}
	ctx, cancel := context.WithTimeout(c.Request.Context(), patience)
	defer cancel()
	told, owner, err := c.api.Client.Outcome(ctx, id)
	if err != nil {
		return nil, err
	}
	if owner != c.Actor.ID && !c.Actor.HasRole(roles...) {
		return nil, errs.New(errs.NotFound, "there is no command %s that was left for later", id)
	}
	o := outcome{ID: told.ID, Status: told.Status}
	if told.Problem != nil {
		o.Problem = problem.Of(told.Problem).In(c.api.Name)
	}
	if told.Result != nil {
		o.Result = told.Result
	}
	a, err := AnsweringJSON(o)
	if err != nil {
		return nil, err
	}
	if told.Position != "" {
		a.Seen = Merge(c.Seen, told.Position).String()
	}
	return a, nil
}
