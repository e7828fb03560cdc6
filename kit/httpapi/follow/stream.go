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
	"lonja/kit/streams"
)

// Streams is an option for a route whose handler calls Follow. Finished describes the
// response 204.
func Streams(finished string) httpapi.Option {
	return httpapi.Options(
		httpapi.Param(&huma.Param{Name: "Last-Event-ID", In: "header", Schema: &huma.Schema{Type: huma.TypeString},
			Description: "The id of the last event that was received; the stream continues after it"}),
		httpapi.ReturnsNoContent(finished), httpapi.ReturnsText("text/event-stream"))
}

const (
	heartbeat = 10 * time.Second // between comments on a stream without events
	// pollInterval is how often a follower queries without an announcement.
	pollInterval = 30 * time.Second
	minPause     = 100 * time.Millisecond
	// writeTimeout bounds one write to a client.
	writeTimeout = 6 * time.Second
)

// Query returns the query for an entity's events after the one with an ID, 0 for all. It
// is kept as long as the client follows, so it should keep little in memory: no part of
// the request.
type Query func(after uint64) httpapi.Query

// Follow sends an entity's events as server-sent events, until the last one or until the
// access token expires or is revoked. The key is the one that the service announces.
// Follow is for the handler of a route made with Page, and returns once the stream has
// begun.
//
// An error of the first query is returned before anything is written, for example when
// the caller may not see the entity; so is one with the code Unavailable when there are
// too many followers. A client that has received the last event gets 204, after which a
// browser does not reconnect.
func (ch *Changes) Follow(c *httpapi.Call, key string, query Query) error {
	release, err := ch.followers.acquire()
	if err != nil {
		return err
	}
	key = strings.Clone(key) // so that the request can be freed
	f := &follower{changes: ch, caller: c.Caller(), newQuery: query, watcher: ch.watchers.add(key)}
	f.release = func() { ch.watchers.remove(f.watcher); release() }
	if last := c.Request.Header["Last-Event-Id"]; len(last) == 1 {
		f.last, _ = strconv.ParseUint(last[0], 10, 64)
	}
	// Query all events, so that a last event that the client already has is seen. Use the
	// request's context: a server that is stopping still sends the current events.
	events, err := f.query(c.Request.Context(), 0, c.Seen)
	if n := len(events); err == nil && n > 0 && events[n-1].Last && events[n-1].ID <= f.last {
		c.Writer.WriteHeader(http.StatusNoContent)
		f.release()
		return nil
	}
	if err == nil && c.Request.Method == http.MethodHead { // it has no body, so the connection stays usable
		writeHead(c.Writer)
		f.release()
		return nil
	}
	if err == nil {
		f.conn, err = hijack(c.Writer)
	}
	if err != nil {
		f.release()
		return err
	}
	go f.run(events)
	return nil
}

// hijack writes the head of the response and takes the connection from net/http, which
// keeps too much memory for a request for tens of thousands of followers. The body has no
// transfer coding and ends with the connection.
func hijack(w http.ResponseWriter) (net.Conn, error) {
	writeHead(w)
	conn, _, err := http.NewResponseController(w).Hijack()
	return conn, err
}

// writeHead writes the head of a response whose body ends with the connection.
func writeHead(w http.ResponseWriter) {
	h := w.Header()
	h.Set("Content-Type", "text/event-stream")
	h.Set("X-Accel-Buffering", "no") // proxies must not buffer it
	h.Set("Transfer-Encoding", "identity")
	w.WriteHeader(http.StatusOK)
}

// follower is one client that follows an entity. There are many, so it is small and keeps
// nothing of its request in memory.
type follower struct {
	changes  *Changes
	caller   *httpapi.Caller
	newQuery Query
	conn     net.Conn
	watcher  *watcher
	release  func()
	last     uint64 // the ID of the latest event that was sent
}

// run sends the events so far and then each new one, until the last event, the end of the
// access token, a stop of the server or a disconnect.
func (f *follower) run(events []Event) {
	defer f.release()
	defer f.conn.Close()
	disconnected := make(chan struct{})
	go f.awaitDisconnect(disconnected)

	stop := f.caller.Stopping()
	var want projection.Token // what the next query must read; nil if none is due
	// Random offsets keep followers that connected together from polling together.
	lastQuery, tick := time.Now().Add(-rand.N(pollInterval)), time.NewTimer(rand.N(heartbeat))
	defer tick.Stop()
	pausing, pause := false, time.Duration(0) // after a query without an answer
	for more := f.send(events); more; {
		var slot chan<- struct{} // nil blocks
		if want != nil && !pausing {
			slot = f.changes.querySlots
		}
		select {
		case token := <-f.watcher.changed:
			if len(token) == 0 || sequenceOn(f.changes.config.Stream, token) > f.last {
				want = httpapi.MergeToken(token, want.String())
			}
		case slot <- struct{}{}:
			events, err := f.query(stop, f.last, want)
			<-f.changes.querySlots
			switch {
			case err == nil:
				want, pause, lastQuery = nil, 0, time.Now()
				more = len(events) == 0 || f.send(events)
			case errs.Is(err, errs.Unavailable): // try again later
				pausing, pause = true, min(2*pause+minPause, heartbeat)
				tick.Reset(pause)
			default:
				return
			}
		case <-tick.C:
			err := f.caller.Check(stop)
			if f.caller.Expired() || err != nil && !errs.Is(err, errs.Unavailable) {
				return
			}
			if want == nil && time.Since(lastQuery) > pollInterval {
				want = projection.Token{}
			}
			pausing = false
			tick.Reset(heartbeat)
			more = f.send(nil)
		case <-disconnected:
			return
		case <-stop.Done():
			return
		}
	}
}

// awaitDisconnect closes the channel once the connection is closed, by either side.
func (f *follower) awaitDisconnect(disconnected chan<- struct{}) {
	defer close(disconnected)
	for b := make([]byte, 1); ; {
		if _, err := f.conn.Read(b); err != nil {
			return
		}
	}
}

// query queries the events after an ID, reading at least the state of seen. It returns an
// error if the access token was revoked.
func (f *follower) query(ctx context.Context, after uint64, seen projection.Token) ([]Event, error) {
	answer, err := f.caller.Query(ctx, f.newQuery(after), seen)
	if err != nil {
		return nil, err
	}
	return f.changes.config.Events(answer)
}

// send writes those events that the client does not have yet, or a comment that keeps the
// connection alive if there are no events. It reports whether the stream goes on.
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
	_ = f.conn.SetWriteDeadline(time.Now().Add(writeTimeout))
	_, err := f.conn.Write(b)
	return err == nil && more
}

// sequenceOn returns the sequence of a token on a stream or on one of its partitions: a token about
// one entity names one of them.
func sequenceOn(stream string, token projection.Token) (sequence uint64) {
	for name, on := range token {
		if streams.BaseOf(name) == stream {
			sequence = max(sequence, on)
		}
	}
	return sequence
}

// append appends the event in the text/event-stream format.
func (e Event) append(b []byte) []byte {
	data, _ := json.Marshal(e.Data) // never contains a newline
	b = strconv.AppendUint(append(b, "id: "...), e.ID, 10)
	if e.Name != "" {
		b = append(append(b, "\nevent: "...), e.Name...)
	}
	return append(append(append(b, "\ndata: "...), data...), "\n\n"...)
}
