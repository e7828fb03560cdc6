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

// Dead letters are nobody's view: staff read them where they are kept.

// listLetters writes letter by letter: each may be as large as a message, so a
// page of them is more than should be in memory.
func (g *gateway) listLetters(c *httpapi.Call, in *struct{ Paging }) (*httpapi.Answer, error) {
	if err := mustBeStaff(c); err != nil {
		return nil, err
	}
	page, written := in.page().Normal(), 0
	skip, begin := page.Offset(), func() {
		c.Writer.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(c.Writer, `{"data":[`)
	}
	total, err := g.Letters.Each(c.Request.Context(), 1, func(l bus.DeadLetter) bool {
		if skip > 0 {
			skip--
			return true
		}
		if written == 0 {
			begin()
		} else {
			_, _ = io.WriteString(c.Writer, ",")
		}
		body, _ := json.Marshal(l.Redacted(g.Streams)) // strings and numbers
		_, failed := c.Writer.Write(body)
		written++
		return failed == nil && written < page.Limit
	})
	switch {
	case err != nil && written > 0:
		g.Logger.Warn("a list of dead letters broke off", "error", err)
		panic(http.ErrAbortHandler) // so that nobody takes it for all of them
	case err != nil:
		return nil, err
	case written == 0:
		begin()
	}
	meta, _ := json.Marshal(query.NewList([]bus.DeadLetter(nil), total, page).Meta)
	_, _ = io.WriteString(c.Writer, `],"meta":`+string(meta)+`}`)
	return httpapi.Answering(nil), nil // nothing of which is written any more
}

type letterInput struct {
	ID uint64 `path:"id"`
}

func (g *gateway) readLetter(c *httpapi.Call, in *letterInput) (*httpapi.Answer, error) {
	ctx, cancel, err := asStaff(c)
	if err != nil {
		return nil, err
	}
	defer cancel()
	letter, err := g.Letters.Get(ctx, in.ID)
	if err != nil {
		return nil, err
	}
	return httpapi.AnsweringJSON(letter.Redacted(g.Streams))
}

// retried says whom a letter goes back to.
type retried struct {
	ID uint64   `json:"id"`
	To []string `json:"to" doc:"The consumers that will try again"`
}

func (g *gateway) retryLetter(c *httpapi.Call, in *letterInput) (*httpapi.Answer, error) {
	ctx, cancel, err := asStaff(c)
	if err != nil {
		return nil, err
	}
	defer cancel()
	to, err := g.Letters.Retry(ctx, in.ID, g.Streams)
	if err != nil {
		return nil, err
	}
	g.Logger.Info("a dead letter goes back", "letter", in.ID, "to", to, "by", c.Actor.ID)
	return httpapi.AnsweringJSON(retried{in.ID, to})
}

func (g *gateway) dropLetter(c *httpapi.Call, in *letterInput) (*httpapi.Answer, error) {
	ctx, cancel, err := asStaff(c)
	if err != nil {
		return nil, err
	}
	defer cancel()
	if err := g.Letters.Drop(ctx, in.ID); err != nil {
		return nil, err
	}
	g.Logger.Info("a dead letter was dropped", "letter", in.ID, "by", c.Actor.ID)
	return httpapi.Answering(nil).NoContent(), nil
}

// mustBeStaff refuses everybody else: there is no service here to do so.
func mustBeStaff(c *httpapi.Call) error { return c.Actor.Require(events.StaffRoles...) }

// asStaff is for work on one letter, which does not take long.
func asStaff(c *httpapi.Call) (context.Context, context.CancelFunc, error) {
	if err := mustBeStaff(c); err != nil {
		return nil, nil, err
	}
	ctx, cancel := context.WithTimeout(c.Request.Context(), patience)
	return ctx, cancel, nil
}
