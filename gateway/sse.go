package gateway

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"lonja/events"
	"lonja/events/query"
	"lonja/internal/refusal"
)

var lastEventParam = &huma.Param{
	Name: "Last-Event-ID", In: "header", Schema: &huma.Schema{Type: huma.TypeString},
	Description: "The id of the last event that was seen: what came after it follows",
}

// followOrder sends an order's statuses as they happen, as server-sent events,
// until it is delivered or cancelled or the access token has expired or was
// revoked. Who may
// not see the order is refused before the first byte.
func followOrder(c *call) error {
	id := events.OrderID(c.r.PathValue("id"))
	if err := known(id); err != nil {
		return err
	}
	ctx, cancel := c.untilStopping()
	defer cancel()
	ctx, expire := context.WithDeadline(ctx, c.expires.Add(leeway))
	defer expire()
	s := &stream{call: c, rc: http.NewResponseController(c.w)}
	if last := c.r.Header["Last-Event-Id"]; len(last) == 1 {
		s.last, _ = strconv.ParseUint(last[0], 10, 64)
	}
	changes, err := s.next(c.r.Context(), id, 0) // a gateway that is stopping still tells how the order stands
	if err != nil {
		return err
	}
	c.w.Header().Set("Content-Type", "text/event-stream")
	c.w.Header().Set("X-Accel-Buffering", "no") // proxies are to pass it on at once
	c.w.WriteHeader(http.StatusOK)
	for pause := minPause; s.send(changes) && ctx.Err() == nil; {
		if changes, err = s.next(ctx, id, heartbeat); err == nil {
			err = c.Revoked.Check(ctx, c.actor) // that may have come meanwhile
		}
		switch {
		case err == nil:
			pause = minPause
		case !refusal.Is(err, refusal.Unavailable):
			return nil
		default: // orders is away; it will be back
			changes = nil
			select {
			case <-time.After(pause):
			case <-ctx.Done():
			}
			pause = min(2*pause, maxPause)
		}
	}
	return nil
}

const (
	heartbeat = 10 * time.Second // of a stream on which nothing happens
	minPause  = 100 * time.Millisecond
	maxPause  = 2 * time.Second
)

// stream is one client that follows an order.
type stream struct {
	*call
	rc   *http.ResponseController
	last uint64 // the sequence that the client has seen
}

// next are the changes after the last one, waited for at most so long.
func (s *stream) next(ctx context.Context, id events.OrderID, wait time.Duration) (changes []query.StatusChange, err error) {
	body, err := s.query(ctx, query.OrderStatuses{OrderID: id, After: s.last, Await: wait.Milliseconds()}, wait)
	if err != nil {
		return nil, err
	}
	return changes, json.Unmarshal(body, &changes)
}

// send writes changes, or a comment that keeps the connection alive when there
// are none. It reports whether there is more to come.
func (s *stream) send(changes []query.StatusChange) bool {
	_ = s.rc.SetWriteDeadline(time.Now().Add(patience))
	if len(changes) == 0 {
		fmt.Fprint(s.w, ": waiting\n\n")
	}
	for _, change := range changes {
		if change.Sequence <= s.last {
			continue
		}
		s.last = change.Sequence
		data, _ := json.Marshal(struct {
			Status string    `json:"status"`
			Time   time.Time `json:"time"`
		}{change.Status, change.Time})
		fmt.Fprintf(s.w, "id: %d\nevent: status\ndata: %s\n\n", change.Sequence, data)
		if change.Status == query.Delivered || change.Status == query.Cancelled {
			_ = s.rc.Flush()
			return false
		}
	}
	return s.rc.Flush() == nil
}
