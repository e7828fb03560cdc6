package follow

import (
	"context"
	"encoding/json"
	"math/rand/v2"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"lonja/kit/errs"
	"lonja/kit/httpapi"
	"lonja/kit/projection"
)

// Streams is an option for a route whose handler calls Follow. Finished tells the
// route's readers what 204 means.
func Streams(finished string) httpapi.Option {
	return httpapi.Options(
		httpapi.Param(&huma.Param{Name: "Last-Event-ID", In: "header", Schema: &huma.Schema{Type: huma.TypeString},
			Description: "The id of the last event that was seen: what came after it follows"}),
		httpapi.ReturnsNothing(finished), httpapi.ReturnsText("text/event-stream"))
}

const (
	heartbeat = 10 * time.Second // of a stream on which nothing happens
	// lookAgain is how long a follower relies on being told of changes.
	lookAgain = 30 * time.Second
	minPause  = 100 * time.Millisecond
	// writing is how long a client may take to read what it is sent.
	writing = 6 * time.Second
)

// Query is the question for the events of a thing after one with an id, 0 for all
// of them. It is kept while somebody follows, so it should hold on to little.
type Query func(after uint64) httpapi.Query

// Follow sends what happens to the thing with a key, as server-sent events, until
// the last one or until the access token has expired or was revoked. It is the
// handler of a route of Page, and returns when the stream has begun.
//
// Who may not see the thing is refused before the first byte; who has seen the last
// event is answered 204, after which a browser does not come again.
func (ch *Changes) Follow(c *httpapi.Call, key string, query Query) error {
	leave, err := ch.following.take()
	if err != nil {
		return err
	}
	key = strings.Clone(key) // not the whole request
	f := &follower{changes: ch, caller: c.Caller(), query: query, watch: ch.watches.begin(key)}
	f.leave = func() { ch.watches.end(f.watch); leave() }
	if last := c.Request.Header["Last-Event-Id"]; len(last) == 1 {
		f.last, _ = strconv.ParseUint(last[0], 10, 64)
	}
	// All of them, so that the end is seen even by whoever knows it already. A
	// server that is stopping still tells how things stand.
	events, err := f.ask(c.Request.Context(), 0, c.Seen)
	if n := len(events); err == nil && n > 0 && events[n-1].Last && events[n-1].ID <= f.last {
		c.Writer.WriteHeader(http.StatusNoContent)
		f.leave()
		return nil
	}
	if err == nil && c.Request.Method == http.MethodHead { // which has no body, and goes on with its connection
		begin(c.Writer)
		f.leave()
		return nil
	}
	if err == nil {
		f.conn, err = takeOver(c.Writer)
	}
	if err != nil {
		f.leave()
		return err
	}
	go f.run(events)
	return nil
}

// takeOver begins the response and takes its connection out of the server's
// hands: what net/http keeps for a request is more than ten thousand followers
// should cost. The body is sent as it is, and ends with the connection.
func takeOver(w http.ResponseWriter) (net.Conn, error) {
	begin(w)
	conn, _, err := http.NewResponseController(w).Hijack()
	return conn, err
}

// begin writes the head of a response whose body ends with the connection.
func begin(w http.ResponseWriter) {
	h := w.Header()
	h.Set("Content-Type", "text/event-stream")
	h.Set("X-Accel-Buffering", "no") // proxies are to pass it on at once
	h.Set("Transfer-Encoding", "identity")
	w.WriteHeader(http.StatusOK)
}

// follower is one client that follows a thing. There are many, so it is small,
// and holds on to nothing of its request.
type follower struct {
	changes *Changes
	caller  *httpapi.Caller
	query   Query
	conn    net.Conn
	watch   *watch
	leave   func()
	last    uint64 // the id of the event that the client has seen
}

// run sends what happened, and then what happens, until that is over or the
// client is gone.
func (f *follower) run(events []Event) {
	defer f.leave()
	defer f.conn.Close()
	gone := make(chan struct{})
	go f.untilGone(gone)

	stop := f.caller.Stopping()
	var want projection.Token // what is to be asked for, nil for nothing
	// Those who came together are not to look again together.
	asked, tick := time.Now().Add(-rand.N(lookAgain)), time.NewTimer(rand.N(heartbeat))
	defer tick.Stop()
	resting, pause := false, time.Duration(0) // after the service gave no answer
	for more := f.send(events); more; {
		var turn chan<- struct{}
		if want != nil && !resting {
			turn = f.changes.asking
		}
		select {
		case news := <-f.watch.news:
			if len(news) == 0 || news[f.changes.config.Stream] > f.last {
				want = httpapi.Merge(news, want.String())
			}
		case turn <- struct{}{}:
			events, err := f.ask(stop, f.last, want)
			<-f.changes.asking
			switch {
			case err == nil:
				want, pause, asked = nil, 0, time.Now()
				more = len(events) == 0 || f.send(events)
			case errs.Is(err, errs.Unavailable): // it will be back
				resting, pause = true, min(2*pause+minPause, heartbeat)
				tick.Reset(pause)
			default:
				return
			}
		case <-tick.C:
			err := f.caller.Check(stop)
			if f.caller.Expired() || err != nil && !errs.Is(err, errs.Unavailable) {
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
		case <-stop.Done():
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

// ask asks for the events after one, where a view shows what was seen, as long as
// the access token was not revoked.
func (f *follower) ask(ctx context.Context, after uint64, seen projection.Token) ([]Event, error) {
	answer, err := f.caller.Ask(ctx, f.query(after), seen)
	if err != nil {
		return nil, err
	}
	return f.changes.config.Events(answer)
}

// send writes events, or a comment that keeps the connection alive when there
// are none. It reports whether there is more to come.
func (f *follower) send(events []Event) bool {
	var b []byte
	if len(events) == 0 {
		b = append(b, ": waiting\n\n"...)
	}
	more := true
	for _, e := range events {
		if e.ID <= f.last {
			continue
		}
		f.last = e.ID
		b = e.append(b)
		more = more && !e.Last
	}
	_ = f.conn.SetWriteDeadline(time.Now().Add(writing))
	_, err := f.conn.Write(b)
	return err == nil && more
}

// append writes the event as clients read it.
func (e Event) append(b []byte) []byte {
	data, _ := json.Marshal(e.Data) // which is one line
	b = strconv.AppendUint(append(b, "id: "...), e.ID, 10)
	if e.Name != "" {
		b = append(append(b, "\nevent: "...), e.Name...)
	}
	return append(append(append(b, "\ndata: "...), data...), "\n\n"...)
}
