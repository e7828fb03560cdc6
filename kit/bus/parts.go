package bus

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"

	"github.com/nats-io/nats.go"

	"lonja/kit/errs"
	"lonja/kit/eventlog"
	"lonja/kit/natsauth"
)

// TooLargeError refuses to answer a query in one message; see QueryInParts.
type TooLargeError struct {
	Reason *errs.Error
	Size   int // bytes that the answer takes, by now
}

// Error implements error.
func (e *TooLargeError) Error() string { return e.Reason.Error() }

// Unwrap is the refusal.
func (e *TooLargeError) Unwrap() error { return e.Reason }

// QueryInParts is QueryAt for an answer of at most room bytes that may be too large for
// one message. It comes in parts and is put together; all of it is in memory.
func (c *Client) QueryInParts(ctx context.Context, q interface{ QueryName() string }, env eventlog.Envelope, room int) (body json.RawMessage, position string, err error) {
	data, err := json.Marshal(q)
	if err != nil {
		return nil, "", err
	}
	subject, inbox := QuerySubject(q.QueryName()), c.conn.NewInbox()
	sub, err := c.conn.SubscribeSync(inbox)
	if err != nil {
		return nil, "", unanswered(subject, err)
	}
	defer sub.Unsubscribe()
	// All of them may be waiting here: there is room for them.
	err = sub.SetPendingLimits(-1, -1)
	header := env.Header()
	header[HeaderRoom] = []string{strconv.Itoa(room)}
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
			err = natsauth.CheckReply(msg)
		}
		if err != nil {
			return nil, "", unanswered(subject, err)
		}
		if err := errorIn(subject, msg); err != nil {
			return nil, "", err
		}
		written := msg.Header.Get(HeaderPart)
		if written == "" && part == 1 {
			return msg.Data, msg.Header.Get(HeaderPosition), nil // it does fit
		}
		var n, of int
		if _, err := fmt.Sscanf(written, "%d/%d", &n, &of); err != nil || n != part || n > of || len(body)+len(msg.Data) > room {
			return nil, "", unanswered(subject, fmt.Errorf("part %d of an answer is %q, with %d bytes after %d of %d", part, written, len(msg.Data), len(body), room))
		}
		if part == 1 {
			body = make([]byte, 0, min(room, min(of, room)*len(msg.Data)))
		}
		if body = append(body, msg.Data...); n == of {
			return body, msg.Header.Get(HeaderPosition), nil
		}
	}
}
