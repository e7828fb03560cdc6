package httpapi

import (
	"context"
	"errors"
	"net/http"
	"time"

	"lonja/kit/bus"
	"lonja/kit/eventlog"
	"lonja/kit/httpapi/problem"
)

// deferred reports that a command was stored for its service to handle later. It is
// an error, so that it replaces the handler's response; the client gets 202.
type deferred struct{ id string }

func (d *deferred) Error() string { return "command " + d.id + " was deferred" }

func (d *deferred) response(outcomes string) *Response {
	a := NewResponse([]byte(`{"id":"` + d.id + `","status":"` + bus.OutcomePending + `"}`))
	a.Status, a.Location = http.StatusAccepted, outcomes+d.id
	return a
}

// outcome is the outcome of a deferred command.
type outcome struct {
	ID      string           `json:"id"`
	Status  string           `json:"status" enum:"pending,done,refused"`
	Result  any              `json:"result,omitempty" doc:"The body of the response that the request would have had, once it is done"`
	Problem *problem.Problem `json:"problem,omitempty" doc:"Why it was refused"`
}

// deferCommand stores a command whose service did not answer, and returns a *deferred
// once it is stored durably. It returns unanswered when the command must not be
// deferred: the service replied with an error, the route is not Deferrable, or the
// actor is anonymous or lacks the route's roles. Deferred commands take up space on
// the disk that holds the events.
func (s *shared) deferCommand(ctx context.Context, rt *RouteDetails, cmd bus.Command, env eventlog.Envelope, unanswered error) error {
	noAnswer := errors.Is(unanswered, bus.ErrNoService) || errors.Is(unanswered, bus.ErrNoAnswer)
	allowed := env.Actor.ID != "" && (len(rt.roles) == 0 || env.Actor.HasRole(rt.roles...))
	// A client that closed the connection was promised nothing. The service may well
	// be up: only the wait for its reply was cut short.
	if !noAnswer || !rt.deferrable || !allowed || ctx.Err() != nil {
		return unanswered
	}
	// Deferring gets time of its own, however long the wait for the service was.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 3*time.Second)
	defer cancel()
	err := s.Client.Defer(ctx, cmd, env)
	s.metrics.deferral(err)
	if err != nil {
		return errors.Join(unanswered, err)
	}
	return &deferred{env.ID}
}
