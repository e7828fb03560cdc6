package gateway

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"lonja/events"
	"lonja/events/query"
	"lonja/kit/errs"
	"lonja/kit/eventlog"
	"lonja/kit/projection"
)

var lastEventParam = &huma.Param{
	Name: "Last-Event-ID", In: "header", Schema: &huma.Schema{Type: huma.TypeString},
	Description: "The id of the last event that was seen: what came after it follows",
}

// followOrder sends an order's statuses as they happen, as server-sent events,
// until it is delivered or cancelled or the access token has expired or was revoked.
// Who may not see the order is refused before the first byte; who has seen its last
// status is answered 204, after which a browser does not come again.
func followOrder(c *call) error {
	id := events.OrderID(strings.Clone(c.r.PathValue("id")))
	if err := known(id); err != nil {
		return err
	}
	leave, err := c.following.take()
	if err != nil {
		return err
	}
	f := &follower{gateway: c.gateway, order: id, actor: c.actor, trace: c.trace,
		until: c.expires.Add(leeway), stop: stopping(c.r.Context()), watch: c.changes.watch(string(id))}
	f.leave = func() { f.changes.unwatch(f.watch); leave() }
	if last := c.r.Header["Last-Event-Id"]; len(last) == 1 {
		f.last, _ = strconv.ParseUint(last[0], 10, 64)
	}
	// All of them, so that the end is seen even by whoever knows it already. A
	// gateway that is stopping still tells how the order stands.
	changes, err := f.ask(c.r.Context(), 0, c.seen)
	if err == nil && len(changes) > 0 && isFinal(changes[len(changes)-1]) && changes[len(changes)-1].Sequence <= f.last {
		c.w.WriteHeader(http.StatusNoContent)
		f.leave()
		return nil
	}
	if err == nil && c.r.Method == http.MethodHead { // which has no body, and goes on with its connection
		c.beginStream()
		f.leave()
		return nil
	}
	if err == nil {
		f.conn, err = c.takeOver()
	}
	if err != nil {
		f.leave()
		return err
	}
	go f.run(changes)
	return nil
}

// takeOver begins the response and takes its connection out of the server's
// hands: what net/http keeps for a request is more than ten thousand followers
// should cost. The body is sent as it is, and ends with the connection.
func (c *call) takeOver() (net.Conn, error) {
	c.beginStream()
	conn, _, err := http.NewResponseController(c.w).Hijack()
	return conn, err
}

// beginStream writes the head of a response whose body ends with the connection.
func (c *call) beginStream() {
	h := c.w.Header()
	h.Set("Content-Type", "text/event-stream")
	h.Set("X-Accel-Buffering", "no") // proxies are to pass it on at once
	h.Set("Transfer-Encoding", "identity")
	c.w.WriteHeader(http.StatusOK)
}

const (
	heartbeat = 10 * time.Second // of a stream on which nothing happens
	// lookAgain is how long a follower relies on being told of changes.
	lookAgain = 30 * time.Second
	// askAtOnce is how many followers ask at the same time, however many were woken.
	askAtOnce = 64
	minPause  = 100 * time.Millisecond
)

// ordersStream is where the events are that change an order's status.
const ordersStream = "ORDERS"

// follower is one client that follows an order. There are many, so it is small,
// and holds on to nothing of its request.
type follower struct {
	*gateway
	conn  net.Conn
	watch *watch
	leave func()
	stop  context.Context // ends when the gateway stops

	order events.OrderID
	actor eventlog.Actor
	trace string
	until time.Time // the access token is good
	last  uint64    // the sequence that the client has seen
}

// run sends what the order went through, and then what it goes through, until
// that is over or the client is gone.
func (f *follower) run(changes []query.StatusChange) {
	defer f.leave()
	defer f.conn.Close()
	gone := make(chan struct{})
	go f.untilGone(gone)

	var want projection.Token // what is to be asked for, nil for nothing
	// Those who came together are not to look again together.
	asked, tick := time.Now().Add(-rand.N(lookAgain)), time.NewTimer(rand.N(heartbeat))
	defer tick.Stop()
	resting, pause := false, time.Duration(0) // after orders gave no answer
	for more := f.send(changes); more; {
		var turn chan<- struct{}
		if want != nil && !resting {
			turn = f.asking
		}
		select {
		case news := <-f.watch.news:
			if len(news) == 0 || news[ordersStream] > f.last {
				want = seen(news, want.String())
			}
		case turn <- struct{}{}:
			changes, err := f.ask(f.stop, f.last, want)
			<-f.asking
			switch {
			case err == nil:
				want, pause, asked = nil, 0, time.Now()
				more = len(changes) == 0 || f.send(changes)
			case errs.Is(err, errs.Unavailable): // it will be back
				resting, pause = true, min(2*pause+minPause, heartbeat)
				tick.Reset(pause)
			default:
				return
			}
		case <-tick.C:
			err := f.Revoked.Check(f.stop, f.actor)
			if time.Now().After(f.until) || err != nil && !errs.Is(err, errs.Unavailable) {
				return
			}
			if want == nil && time.Since(asked) > lookAgain {
				want = projection.Token{}
			}
			resting = false
			tick.Reset(heartbeat)
			more = f.send(nil)
		case <-gone:
			return
		case <-f.stop.Done():
			return
		}
	}
}

// untilGone closes gone when the client has, or its connection was closed here.
func (f *follower) untilGone(gone chan<- struct{}) {
	defer close(gone)
	for b := make([]byte, 1); ; {
		if _, err := f.conn.Read(b); err != nil {
			return
		}
	}
}

// ask asks for the changes after a sequence, where a view shows what was seen, as
// long as the access token was not revoked.
func (f *follower) ask(ctx context.Context, after uint64, seen projection.Token) (changes []query.StatusChange, err error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	if err := f.Revoked.Check(ctx, f.actor); err != nil {
		return nil, err
	}
	body, err := f.Client.Query(ctx, query.OrderStatuses{OrderID: f.order, After: after},
		eventlog.Envelope{Actor: f.actor, Correlation: traceID(f.trace), Trace: f.trace, After: seen.String()})
	if err != nil {
		return nil, err
	}
	return changes, json.Unmarshal(body, &changes)
}

// send writes changes, or a comment that keeps the connection alive when there
// are none. It reports whether there is more to come.
func (f *follower) send(changes []query.StatusChange) bool {
	var b bytes.Buffer
	if len(changes) == 0 {
		b.WriteString(": waiting\n\n")
	}
	more := true
	for _, change := range changes {
		if change.Sequence <= f.last {
			continue
		}
		f.last = change.Sequence
		data, _ := json.Marshal(struct {
			Status string    `json:"status"`
			Time   time.Time `json:"time"`
		}{change.Status, change.Time})
		fmt.Fprintf(&b, "id: %d\nevent: status\ndata: %s\n\n", change.Sequence, data)
		more = more && !isFinal(change)
	}
	_ = f.conn.SetWriteDeadline(time.Now().Add(patience))
	_, err := f.conn.Write(b.Bytes())
	return err == nil && more
}

// isFinal reports whether nothing comes after a change.
func isFinal(c query.StatusChange) bool {
	return c.Status == query.Delivered || c.Status == query.Cancelled
}
