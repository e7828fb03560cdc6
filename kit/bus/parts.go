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

// TooLargeError reports that the answer to a query does not fit into one message; see
// QueryInParts.
type TooLargeError struct {
	Reason *errs.Error
	Size   int // of the answer in bytes, when it was made
}

// Error implements error.
func (e *TooLargeError) Error() string { return e.Reason.Error() }

// Unwrap returns Reason.
func (e *TooLargeError) Unwrap() error { return e.Reason }

// QueryInParts is QueryAt for an answer of up to maxSize bytes that may not fit into one
// message. The answer comes in parts, which are put together in memory. Errors are those of
// Query.
func (c *Client) QueryInParts(ctx context.Context, q interface{ QueryName() string }, env eventlog.Envelope, maxSize int) (body json.RawMessage, position string, err error) {
	data, err := json.Marshal(q)
	if err != nil {
		return nil, "", err
	}
	subject, inbox := QuerySubject(q.QueryName()), c.conn.NewInbox()
	sub, err := c.conn.SubscribeSync(inbox)
	if err != nil {
		return nil, "", noAnswer(subject, err)
	}
	defer sub.Unsubscribe()
	// All parts may arrive before the first one is read, so the subscription has no limits.
	err = sub.SetPendingLimits(-1, -1)
	header := env.Header()
	header[HeaderMaxSize] = []string{strconv.Itoa(maxSize)}
	if err := errors.Join(err, c.conn.PublishMsg(&nats.Msg{Subject: subject, Reply: inbox, Header: header, Data: data})); err != nil {
		return nil, "", noAnswer(subject, err)
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
			return nil, "", noAnswer(subject, err)
		}
		if err := errorIn(subject, msg); err != nil {
			return nil, "", err
		}
		written := msg.Header.Get(HeaderPart)
		if written == "" && part == 1 {
			return msg.Data, msg.Header.Get(HeaderPosition), nil // it fits into one message
		}
		var n, of int
		if _, err := fmt.Sscanf(written, "%d/%d", &n, &of); err != nil || n != part || n > of || len(body)+len(msg.Data) > maxSize {
			return nil, "", noAnswer(subject, fmt.Errorf("part %d of an answer is %q, with %d bytes after %d of %d", part, written, len(msg.Data), len(body), maxSize))
		}
		if part == 1 {
			body = make([]byte, 0, min(maxSize, min(of, maxSize)*len(msg.Data)))
		}
		if body = append(body, msg.Data...); n == of {
			return body, msg.Header.Get(HeaderPosition), nil
		}
	}
}
