package gateway

import (
	"context"
	"errors"
	"net/http"
	"time"

	"lonja/events"
	"lonja/events/command"
	"lonja/kit/bus"
	"lonja/kit/errs"
	"lonja/kit/eventlog"
)

// left says that a command was left for its service to take up later. It is
// an error to the handlers, whose answer it replaces, and 202 to whoever asked.
type left struct{ id string }

func (l *left) Error() string { return "command " + l.id + " was left for later" }

func (l *left) answer() *answer {
	a := answering([]byte(`{"id":"` + l.id + `","status":"` + bus.Pending + `"}`))
	a.Status, a.Location = http.StatusAccepted, "/api/commands/"+l.id
	return a
}

// leave leaves a command whose service did not answer for later, and returns a
// *left once that is durable. What the service itself refused is not left, nor is
// what the route does not let wait, or not for this actor: what is left takes
// room on the disk that the events are on.
func (c *call) leave(cmd command.Command, env eventlog.Envelope, unanswered error) error {
	silent := errors.Is(unanswered, bus.ErrNoService) || errors.Is(unanswered, bus.ErrNoAnswer)
	may := c.actor.ID != "" && (len(c.route.roles) == 0 || c.actor.HasRole(c.route.roles...))
	// Whoever went away was promised nothing, and the service may be well: only
	// its answer was not waited for.
	if !silent || !c.route.later || !may || c.r.Context().Err() != nil {
		return unanswered
	}
	// However long has been waited already: what was asked for is not to be lost.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(c.r.Context()), 3*time.Second)
	defer cancel()
	err := c.Client.Defer(ctx, cmd, env)
	c.measured.left(err)
	if err != nil {
		return errors.Join(unanswered, err)
	}
	return &left{env.ID}
}

// outcome is what became of a command that was left for later.
type outcome struct {
	ID      string   `json:"id"`
	Status  string   `json:"status" enum:"pending,done,refused"`
	Result  any      `json:"result,omitempty" doc:"The answer that the request would have had, once it is done"`
	Problem *problem `json:"problem,omitempty" doc:"Why it was refused"`
}

// readCommand tells its sender and staff what became of a command.
func readCommand(c *call, in *struct {
	ID string `path:"id"`
}) (*answer, error) {
	if err := known(in.ID); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(c.r.Context(), patience)
	defer cancel()
	told, owner, err := c.Client.Outcome(ctx, in.ID)
	if err != nil {
		return nil, err
	}
	if owner != c.actor.ID && !c.actor.HasRole(events.StaffRoles...) {
		return nil, errs.New(errs.NotFound, "there is no command %s that was left for later", in.ID)
	}
	o := outcome{ID: told.ID, Status: told.Status, Problem: asProblem(told.Problem)}
	if told.Result != nil {
		o.Result = told.Result
	}
	a, err := answeringJSON(o)
	if err != nil {
		return nil, err
	}
	if told.Position != "" {
		a.Seen = seen(c.seen, told.Position).String()
	}
	return a, nil
}
