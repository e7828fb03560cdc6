package client

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"net/http"
	"strings"
	"time"
)

// StatusChange is one change of an order's status.
type StatusChange struct {
	ID     string      `json:"-"` // for [After]
	Status OrderStatus `json:"status"`
	Time   time.Time   `json:"time"`
}

// idle is how long a stream may be silent. The gateway sends a comment every 10 s.
const idle = 35 * time.Second

// FollowOrder returns an order's status changes, first the past ones and then each new one.
// It ends after a final status. If the connection breaks, the access token expires or the
// gateway stops, it reconnects and continues after the last change. An error is the last
// value: ctx has ended, the shop answered with a [*Problem], or the shop could not be
// reached with the retries that other calls have.
//
//	for change, err := range c.FollowOrder(ctx, id) {
//		if err != nil {
//			return err
//		}
//		log.Print(change.Status)
//	}
func (c *Client) FollowOrder(ctx context.Context, id string, options ...CallOption) iter.Seq2[StatusChange, error] {
	var o callOptions
	for _, set := range options {
		set(&o)
	}
	r := request{method: http.MethodGet, path: in("/api/orders/", id, "/stream"), user: true}
	return func(yield func(StatusChange, error) bool) {
		sent, err := r.encode(o)
		if err == nil {
			f := &follower{client: c, request: r, sent: sent, yield: yield, last: o.after}
			err = f.run(ctx)
		}
		if err != nil {
			yield(StatusChange{}, fmt.Errorf("%s: %w", r.name(), err))
		}
	}
}

type follower struct {
	client  *Client
	request request
	sent    Request
	yield   func(StatusChange, error) bool
	last    string // ID of the last change
	heard   bool   // something was received on this connection
	done    bool   // the status is final, the caller stopped, or the stream is malformed
}

// run follows until done, or until an error that a retry does not solve.
func (f *follower) run(ctx context.Context) error {
	for try, rejected := 0, ""; ; try++ {
		token, err := f.client.session.bearer(ctx, f.client, rejected)
		if err != nil {
			return err
		}
		f.heard = false
		err = f.connect(ctx, token)
		switch {
		case f.done:
			return err
		case ctx.Err() != nil:
			return ctx.Err()
		case f.heard:
			try = 0
		}
		wait, again := f.client.retry.pause(try, err)
		switch {
		case errors.Is(err, Unauthenticated) && rejected == "" && f.client.session.renewable():
			rejected, wait = token, 0
		case !again || !f.request.again(err):
			return err
		default:
			rejected = ""
		}
		if err := sleep(ctx, wait); err != nil {
			return err
		}
	}
}

// connect follows on one connection. If it returns and f is not done, it returns an error.
func (f *follower) connect(ctx context.Context, token string) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	silence := time.AfterFunc(idle, cancel)
	defer silence.Stop()
	f.sent.Header.Set("Accept", "text/event-stream")
	if f.last != "" {
		f.sent.Header.Set("Last-Event-ID", f.last)
	}
	res, err := f.client.send(ctx, f.sent, token)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	switch {
	case res.StatusCode == http.StatusNoContent: // the client has received the final status
		f.done = true
		return nil
	case res.StatusCode >= 300:
		body, err := readAll(res)
		if err != nil {
			return err
		}
		return problemIn(&Response{StatusCode: res.StatusCode, Header: res.Header, Body: body})
	}
	return f.read(res.Body, func() { f.heard = true; silence.Reset(idle) })
}

// read reads server-sent events, and calls alive for each line.
func (f *follower) read(stream io.Reader, alive func()) error {
	lines, id, data := bufio.NewScanner(stream), "", ""
	for lines.Scan() {
		alive()
		name, value, _ := strings.Cut(lines.Text(), ":")
		switch value = strings.TrimPrefix(value, " "); {
		case lines.Text() == "" && data != "":
			if err := f.deliver(id, data); err != nil || f.done {
				return err
			}
			data = ""
		case name == "id":
			id = value
		case name == "data":
			data += value
		}
	}
	if err := lines.Err(); err != nil {
		return err
	}
	return io.ErrUnexpectedEOF
}

// deliver passes a change to the caller. Malformed data ends the stream: a retry would get
// the same data.
func (f *follower) deliver(id, data string) error {
	change := StatusChange{ID: id}
	if err := json.Unmarshal([]byte(data), &change); err != nil {
		f.done = true
		return fmt.Errorf("decode the stream: %w", err)
	}
	f.last = id
	f.done = !f.yield(change, nil) || change.Status.Final()
	return nil
}
