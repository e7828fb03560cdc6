package gateway

import (
	"context"
	"encoding/json"
	"io"
	"net/http"

	"lonja/events"
	"lonja/events/query"
	"lonja/kit/bus"
	"lonja/kit/httpapi"
)

// Dead letters are in no view: these routes read the stream that holds them.

// listDeadLetters writes one dead letter at a time. Each may be as large as a message, so a
// page of them would take too much memory.
func (g *gateway) listDeadLetters(c *httpapi.Call, in *struct{ Paging }) (*httpapi.Response, error) {
	if err := requireStaff(c); err != nil {
		return nil, err
	}
	page, err := query.SectionOf[uint64](in.page(), "deadletters")
	if err != nil {
		return nil, err
	}
	from, written, last, more := uint64(1), 0, uint64(0), false
	if page.Begins != nil {
		from = *page.Begins + 1
	}
	skip, begin := page.Offset, func() {
		c.Writer.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(c.Writer, `{"data":[`)
	}
	total, err := g.DeadLetters.Each(c.Request.Context(), from, func(deadLetter bus.DeadLetter) bool {
		if skip > 0 {
			skip--
			return true
		}
		if more = written == page.Limit; more {
			return false
		}
		if written == 0 {
			begin()
		} else {
			_, _ = io.WriteString(c.Writer, ",")
		}
		body, _ := json.Marshal(deadLetter.Redacted(g.Streams)) // cannot fail: strings and numbers
		_, failed := c.Writer.Write(body)
		written, last = written+1, deadLetter.ID
		return failed == nil
	})
	switch {
	case err != nil && written > 0:
		g.Logger.Warn("list of dead letters broke off", "error", err)
		panic(http.ErrAbortHandler) // so that the client does not take it for complete
	case err != nil:
		return nil, err
	case written == 0:
		begin()
	}
	meta, _ := json.Marshal(query.NewList([]bus.DeadLetter(nil), total, page, page.Next(last, more)).Meta)
	_, _ = io.WriteString(c.Writer, `],"meta":`+string(meta)+`}`)
	return httpapi.NewResponse(nil), nil // the body is written already
}

type deadLetterInput struct {
	ID uint64 `path:"id"`
}

func (g *gateway) readDeadLetter(c *httpapi.Call, in *deadLetterInput) (*httpapi.Response, error) {
	ctx, cancel, err := staffContext(c)
	if err != nil {
		return nil, err
	}
	defer cancel()
	deadLetter, err := g.DeadLetters.Get(ctx, in.ID)
	if err != nil {
		return nil, err
	}
	return httpapi.NewJSONResponse(deadLetter.Redacted(g.Streams))
}

// retried names the consumers that a dead letter was sent back to.
type retried struct {
	ID uint64   `json:"id"`
	To []string `json:"to" doc:"The consumers that will try again"`
}

func (g *gateway) retryDeadLetter(c *httpapi.Call, in *deadLetterInput) (*httpapi.Response, error) {
	ctx, cancel, err := staffContext(c)
	if err != nil {
		return nil, err
	}
	defer cancel()
	to, err := g.DeadLetters.Retry(ctx, in.ID, g.Streams)
	if err != nil {
		return nil, err
	}
	g.Logger.Info("dead letter sent back", "deadletter", in.ID, "to", to, "by", c.Actor.ID)
	return httpapi.NewJSONResponse(retried{in.ID, to})
}

func (g *gateway) dropDeadLetter(c *httpapi.Call, in *deadLetterInput) (*httpapi.Response, error) {
	ctx, cancel, err := staffContext(c)
	if err != nil {
		return nil, err
	}
	defer cancel()
	if err := g.DeadLetters.Drop(ctx, in.ID); err != nil {
		return nil, err
	}
	g.Logger.Info("dead letter dropped", "deadletter", in.ID, "by", c.Actor.ID)
	return httpapi.NewResponse(nil).NoContent(), nil
}

// requireStaff returns Forbidden for other users. No service decides here.
func requireStaff(c *httpapi.Call) error { return c.Actor.Require(events.StaffRoles...) }

// staffContext requires staff, and bounds the work on one dead letter.
func staffContext(c *httpapi.Call) (context.Context, context.CancelFunc, error) {
	if err := requireStaff(c); err != nil {
		return nil, nil, err
	}
	ctx, cancel := context.WithTimeout(c.Request.Context(), requestTimeout)
	return ctx, cancel, nil
}
