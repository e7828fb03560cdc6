package service

import (
	"context"
	"encoding/json"
	"errors"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"

	"lonja/kit/bus"
	"lonja/kit/errs"
	"lonja/kit/projection"
)

const (
	// MaxAnswerSize is the most bytes that an answer may have, even in parts.
	MaxAnswerSize = 48 << 20
	// maxLargeAnswers is the most bytes of all large answers that a replica makes at a time.
	maxLargeAnswers = 2 * MaxAnswerSize
	// largeAnswerWait is how long a large answer may wait for others to finish.
	largeAnswerWait = 15 * time.Second
	// headers is how many bytes of a message are reserved for its headers.
	headers = 16 << 10
)

// tooLarge is an error that knows the size of the answer in bytes.
type tooLarge struct {
	reason *errs.Error
	size   int
}

func (e *tooLarge) Error() string { return e.reason.Error() }
func (e *tooLarge) Unwrap() error { return e.reason }

func newTooLarge(size int) error {
	return &tooLarge{errs.InvalidField("limit", "is too much for one message; ask for fewer at once"), size}
}

// Rows are some rows of a longer list, as JSON.
type Rows[K any] struct {
	JSON []json.RawMessage
	Last K    // the key of the last one, if there is one
	More bool // whether the query found more rows
}

// ListRows returns the first rows of a view's query, at most limit, to be part of an answer. The
// query selects the columns of a row's key, which key returns the destinations of, and then one
// column of JSON. It should select one row more than limit, which only tells that there are
// more. The error is Invalid, and no rows are kept, when they have more bytes than the answer
// may have.
func ListRows[K any](ctx context.Context, v *projection.View, limit int, sql string, args []any, key func(*K) []any) (rows Rows[K], err error) {
	size, most := 0, maxSizeOf(ctx)
	seen := 0
	err = v.Each(ctx, sql, args, func(scan func(...any) error) error {
		if seen++; seen > limit {
			rows.More = true
			return nil
		}
		var body []byte
		if err := scan(append(key(&rows.Last), &body)...); err != nil {
			return err
		}
		if size += len(body) + 1; size > most {
			rows.JSON = nil
			return nil
		}
		rows.JSON = append(rows.JSON, body)
		return nil
	})
	if err == nil && size > most {
		err = newTooLarge(size)
	}
	return rows, err
}

// maxSizeOf returns how many bytes the answer to a query may have.
func maxSizeOf(ctx context.Context) int {
	if s, ok := ctx.Value(slotKey{}).(*slot); ok {
		return s.room
	}
	return MaxAnswerSize
}

// reserveSize reserves memory for a large answer when the request asks for one. The query must
// call done after it has answered. A query that has to wait for memory holds no slot.
func reserveSize(ctx context.Context, wanted string) (done func(), err error) {
	s, ok := ctx.Value(slotKey{}).(*slot)
	room, _ := strconv.Atoi(wanted)
	if !ok || room <= s.room {
		return func() {}, nil
	}
	if room > MaxAnswerSize {
		return nil, errs.InvalidField(bus.HeaderMaxSize, "must be at most %d", MaxAnswerSize)
	}
	if !s.large.TryAcquire(int64(room)) {
		if err := ReleaseSlot(ctx); err != nil {
			return nil, err
		}
		ctx, cancel := context.WithTimeout(ctx, largeAnswerWait)
		defer cancel()
		if s.large.Acquire(ctx, int64(room)) != nil {
			return nil, errs.New(errs.Unavailable, "too many large answers are being made; try again")
		}
	}
	s.room = room
	return func() { s.large.Release(int64(room)) }, nil
}

// respondInParts answers a query in as many messages as the answer needs, if it has at most
// maxSize bytes.
func (d *deps) respondInParts(to string, header nats.Header, body any, maxSize int) {
	encoded, err := encode(body)
	if err != nil {
		d.respond(to, nil, nil, err)
		return
	}
	data, one := encoded.([]byte), maxMessageSize(d.Conn)
	switch {
	case len(data) > maxSize:
		d.respond(to, nil, nil, newTooLarge(len(data)))
		return
	case len(data) <= one:
		d.respond(to, header, data, nil)
		return
	}
	parts := (len(data) + one - 1) / one
	for i := range parts {
		part := nats.Header{bus.HeaderPart: {strconv.Itoa(i+1) + "/" + strconv.Itoa(parts)}, bus.HeaderPosition: header[bus.HeaderPosition]}
		d.respond(to, part, data[i*one:min((i+1)*one, len(data))], nil)
		if d.Conn.FlushTimeout(timeout) != nil { // one after the other, so that they do not pile up in memory
			return
		}
	}
}

// maxMessageSize is how many bytes of an answer fit into one message.
func maxMessageSize(conn *nats.Conn) int { return int(conn.MaxPayload()) - headers }

// addSize adds the size of the answer to the headers of an error that reports it as too large.
func addSize(header nats.Header, err error) nats.Header {
	var large *tooLarge
	if errors.As(err, &large) {
		header[bus.HeaderSize] = []string{strconv.Itoa(large.size)}
	}
	return header
}
