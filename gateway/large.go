package gateway

import (
	"context"
	"encoding/json"
	"time"

	"lonja/events/query"
	"lonja/kit/bus"
	"lonja/kit/errs"
	"lonja/kit/service"
)

// allLarge bounds the bytes of all large answers that a gateway holds at the same
// time: from before they are sent to it until the client has them.
const allLarge = 2 * service.MaxAnswer

// largePatience is how long a large answer may take, waiting for others included.
const largePatience = 20 * time.Second

// askInParts asks a query whose answer was too large for one message. The room
// that it takes is held until the call has ended.
func (c *call) askInParts(ctx context.Context, q query.Query, was *bus.TooLargeError) (body json.RawMessage, position string, err error) {
	room := was.Size + was.Size/4 + 64<<10 // it may have grown
	if was.Size > service.MaxAnswer {
		return nil, "", was
	}
	ctx, cancel := context.WithTimeout(ctx, largePatience)
	defer cancel()
	room = min(room, service.MaxAnswer)
	if c.large.Acquire(ctx, int64(room)) != nil {
		return nil, "", errs.New(errs.Unavailable, "too many large answers are on their way; try again, or ask for less at once")
	}
	c.room += room
	body, position, err = c.Client.QueryInParts(ctx, q, c.envelope(""), room)
	c.giveBack(room - len(body))
	return body, position, err
}

// giveBack gives room back that the call does not need any more.
func (c *call) giveBack(room int) {
	if room > 0 {
		c.room -= room
		c.large.Release(int64(room))
	}
}
