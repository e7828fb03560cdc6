package gateway

import (
	"context"

	"lonja/events"
	"lonja/events/query"
	"lonja/internal/refusal"
)

// Dead letters are nobody's view: staff read them where they are kept.

func listLetters(c *call, in *struct{ Paging }) (*answer, error) {
	ctx, cancel, err := c.asStaff()
	if err != nil {
		return nil, err
	}
	defer cancel()
	page := in.page().Normal()
	letters, total, err := c.Letters.List(ctx, 1, page.Offset()+page.Limit)
	if err != nil {
		return nil, err
	}
	letters = letters[min(page.Offset(), len(letters)):]
	for i := range letters {
		letters[i] = letters[i].Hidden(c.Streams)
	}
	return answeringJSON(query.NewList(letters, total, page))
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
	return answeringJSON(letter.Hidden(c.Streams))
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
	to, err := c.Letters.Retry(ctx, in.ID, c.Streams.Readers)
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

// asStaff refuses everybody else: there is no service here to do so.
func (c *call) asStaff() (context.Context, context.CancelFunc, error) {
	if !c.actor.Is(events.Staff, events.Admin) {
		return nil, nil, refusal.New(refusal.Forbidden, "only staff may do this")
	}
	ctx, cancel := context.WithTimeout(c.r.Context(), patience)
	return ctx, cancel, nil
}
