package client

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"

	"github.com/nats-io/nats.go"

	"lonja/internal/access"
	"lonja/internal/envelope"
	"lonja/internal/refusal"
	"lonja/internal/wire"
)

// TooLarge refuses to answer a query in one message; see AskInParts.
type TooLarge struct {
	Reason *refusal.Refusal
	Size   int // bytes that the answer takes, by now
}

// Error implements error.
func (e *TooLarge) Error() string { return e.Reason.Error() }

// Unwrap is the refusal.
func (e *TooLarge) Unwrap() error { return e.Reason }

// AskInParts is AskAt for an answer of at most room bytes that may be too large for
// one message. It comes in parts and is put together; all of it is in memory.
func (c *Client) AskInParts(ctx context.Context, q interface{ Query() string }, env envelope.Envelope, room int) (body json.RawMessage, position string, err error) {
	data, err := json.Marshal(q)
	if err != nil {
		return nil, "", err
	}
	subject, inbox := "queries."+q.Query(), c.conn.NewInbox()
	sub, err := c.conn.SubscribeSync(inbox)
	if err != nil {
		return nil, "", unanswered(subject, err)
	}
	defer sub.Unsubscribe()
	// All of them may be waiting here: there is room for them.
	err = sub.SetPendingLimits(-1, -1)
	header := env.Header()
	header[wire.HeaderRoom] = []string{strconv.Itoa(room)}
	if err := errors.Join(err, c.conn.PublishMsg(&nats.Msg{Subject: subject, Reply: inbox, Header: header, Data: data})); err != nil {
		return nil, "", unanswered(subject, err)
	}
	for part := 1; ; part++ {
		msg, err := sub.NextMsgWithContext(ctx)
		if err == nil && msg.Header.Get("Status") == "503" {
			err = nats.ErrNoResponders
		}
		if err == nil && msg.Subject != inbox {
			err = fmt.Errorf("a message of %s was delivered instead of an answer", msg.Subject)
		}
		if err == nil {
			err = access.CheckAnswer(msg)
		}
		if err != nil {
			return nil, "", unanswered(subject, err)
		}
		if err := refusedBy(subject, msg); err != nil {
			return nil, "", err
		}
		written := msg.Header.Get(wire.HeaderPart)
		if written == "" && part == 1 {
			return msg.Data, msg.Header.Get(wire.HeaderPosition), nil // it does fit
		}
		var n, of int
		if _, err := fmt.Sscanf(written, "%d/%d", &n, &of); err != nil || n != part || n > of || len(body)+len(msg.Data) > room {
			return nil, "", unanswered(subject, fmt.Errorf("part %d of an answer is %q, with %d bytes after %d of %d", part, written, len(msg.Data), len(body), room))
		}
		if part == 1 {
			body = make([]byte, 0, min(room, min(of, room)*len(msg.Data)))
		}
		if body = append(body, msg.Data...); n == of {
			return body, msg.Header.Get(wire.HeaderPosition), nil
		}
	}
}
