package gateway

import (
	"context"
	"encoding/json"
	"io"
	"net/http"

	"lonja/events"
	"lonja/events/query"
	"lonja/kit/bus"
)

// Dead letters are nobody's view: staff read them where they are kept.

// listLetters writes letter by letter: each may be as large as a message, so a
// page of them is more than should be in memory.
func listLetters(c *call, in *struct{ Paging }) (*answer, error) {
	if err := c.mustBeStaff(); err != nil {
		return nil, err
	}
	page, written := in.page().Normal(), 0
	skip, begin := page.Offset(), func() {
		c.w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(c.w, `{"data":[`)
	}
	total, err := c.Letters.Each(c.r.Context(), 1, func(l bus.DeadLetter) bool {
		if skip > 0 {
			skip--
			return true
		}
		if written == 0 {
			begin()
		} else {
			_, _ = io.WriteString(c.w, ",")
		}
		body, _ := json.Marshal(l.Redacted(c.Streams)) // strings and numbers
		_, failed := c.w.Write(body)
		written++
		return failed == nil && written < page.Limit
	})
	switch {
	case err != nil && written > 0:
		c.Logger.Warn("a list of dead letters broke off", "error", err)
		panic(http.ErrAbortHandler) // so that nobody takes it for all of them
	case err != nil:
		return nil, err
	case written == 0:
		begin()
	}
	meta, _ := json.Marshal(query.NewList([]bus.DeadLetter(nil), total, page).Meta)
	_, _ = io.WriteString(c.w, `],"meta":`+string(meta)+`}`)
	return answering(nil), nil // nothing of which is written any more
}

type letterInput struct {
	ID uint64 `path:"id"`
}

func readLetter(c *call, in *letterInput) (*answer, error) {
	ctx, cancel, err := c.asStaff()
	if err != nil {
		return nil, err
	}
	defer cancel()
	letter, err := c.Letters.Get(ctx, in.ID)
	if err != nil {
		return nil, err
	}
	return answeringJSON(letter.Redacted(c.Streams))
}

// retried says whom a letter goes back to.
type retried struct {
	ID uint64   `json:"id"`
	To []string `json:"to" doc:"The consumers that will try again"`
}

func retryLetter(c *call, in *letterInput) (*answer, error) {
	ctx, cancel, err := c.asStaff()
	if err != nil {
		return nil, err
	}
	defer cancel()
	to, err := c.Letters.Retry(ctx, in.ID, c.Streams)
	if err != nil {
		return nil, err
	}
	c.Logger.Info("a dead letter goes back", "letter", in.ID, "to", to, "by", c.actor.ID)
	return answeringJSON(retried{in.ID, to})
}

func dropLetter(c *call, in *letterInput) (*answer, error) {
	ctx, cancel, err := c.asStaff()
	if err != nil {
		return nil, err
	}
	defer cancel()
	if err := c.Letters.Drop(ctx, in.ID); err != nil {
		return nil, err
	}
	c.Logger.Info("a dead letter was dropped", "letter", in.ID, "by", c.actor.ID)
	return answering(nil).noContent(), nil
}

// mustBeStaff refuses everybody else: there is no service here to do so.
func (c *call) mustBeStaff() error {
	return c.actor.Require(events.StaffRoles...)
}

// asStaff is for work on one letter, which does not take long.
func (c *call) asStaff() (context.Context, context.CancelFunc, error) {
	if err := c.mustBeStaff(); err != nil {
		return nil, nil, err
	}
	ctx, cancel := context.WithTimeout(c.r.Context(), patience)
	return ctx, cancel, nil
}
