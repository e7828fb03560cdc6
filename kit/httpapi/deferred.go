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

// deferred says that a command was left for its service to take up later. It is
// an error to the handlers, whose answer it replaces, and 202 to whoever asked.
type deferred struct{ id string }

func (d *deferred) Error() string { return "command " + d.id + " was left for later" }

func (d *deferred) answer(outcomes string) *Answer {
	a := Answering([]byte(`{"id":"` + d.id + `","status":"` + bus.Pending + `"}`))
	a.Status, a.Location = http.StatusAccepted, outcomes+d.id
	return a
}

// outcome is what became of a command that was left for later.
type outcome struct {
	ID      string           `json:"id"`
	Status  string           `json:"status" enum:"pending,done,refused"`
	Result  any              `json:"result,omitempty" doc:"The answer that the request would have had, once it is done"`
	Problem *problem.Problem `json:"problem,omitempty" doc:"Why it was refused"`
}

// leave leaves a command whose service did not answer for later, and returns a
// *deferred once that is durable. What the service itself refused is not left, nor is
// what the route does not let wait, or not for this actor: what is left takes
// room on the disk that the events are on.
func (s *shared) leave(ctx context.Context, rt *Details, cmd bus.Command, env eventlog.Envelope, unanswered error) error {
	silent := errors.Is(unanswered, bus.ErrNoService) || errors.Is(unanswered, bus.ErrNoAnswer)
	may := env.Actor.ID != "" && (len(rt.roles) == 0 || env.Actor.HasRole(rt.roles...))
	// Whoever went away was promised nothing, and the service may be well: only
	// its answer was not waited for.
	if !silent || !rt.deferrable || !may || ctx.Err() != nil {
		return unanswered
	}
	// However long has been waited already: what was asked for is not to be lost.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 3*time.Second)
	defer cancel()
	err := s.Client.Defer(ctx, cmd, env)
	s.measured.left(err)
	if err != nil {
		return errors.Join(unanswered, err)
	}
	return &deferred{env.ID}
}
