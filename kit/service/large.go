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
	// MaxAnswer bounds every answer. A page of the largest orders that there may
	// be is smaller.
	MaxAnswer = 48 << 20
	// largeAtOnce bounds all large answers that a replica makes at the same time.
	largeAtOnce = 2 * MaxAnswer
	// roomPatience is how long a large answer may wait for others to be finished.
	roomPatience = 15 * time.Second
	// headers is how much of a message is left for them.
	headers = 16 << 10
)

// tooLarge is a refusal that says how large the answer is.
type tooLarge struct {
	reason *errs.Error
	size   int
}

func (e *tooLarge) Error() string { return e.reason.Error() }
func (e *tooLarge) Unwrap() error { return e.reason }

func tooLargeFor(size int) error {
	return &tooLarge{errs.InvalidField("limit", "is too much for one message; ask for fewer at once"), size}
}

// JSONRows are the rows of a view's query that has one column of JSON, as an answer
// may hold them. When there is no room for so much it keeps none of them.
func JSONRows(ctx context.Context, v *projection.View, sql string, args ...any) (all []json.RawMessage, err error) {
	size, room := 0, roomOf(ctx)
	err = v.Each(ctx, sql, args, func(scan func(...any) error) error {
		var body []byte
		if err := scan(&body); err != nil {
			return err
		}
		if size += len(body) + 1; size > room {
			all = nil
			return nil
		}
		all = append(all, body)
		return nil
	})
	if err == nil && size > room {
		err = tooLargeFor(size)
	}
	return all, err
}

// roomOf is how many bytes the answer to a query may have.
func roomOf(ctx context.Context) int {
	if s, ok := ctx.Value(slotKey{}).(*slot); ok {
		return s.room
	}
	return MaxAnswer
}

// makeRoom makes room for a large answer when the request asks for it, until done.
// Whoever must wait for it holds no slot.
func makeRoom(ctx context.Context, wanted string) (done func(), err error) {
	s, ok := ctx.Value(slotKey{}).(*slot)
	room, _ := strconv.Atoi(wanted)
	if !ok || room <= s.room {
		return func() {}, nil
	}
	if room > MaxAnswer {
		return nil, errs.InvalidField(bus.HeaderRoom, "must be at most %d", MaxAnswer)
	}
	if !s.large.TryAcquire(int64(room)) {
		if err := ReleaseSlot(ctx); err != nil {
			return nil, err
		}
		ctx, cancel := context.WithTimeout(ctx, roomPatience)
		defer cancel()
		if s.large.Acquire(ctx, int64(room)) != nil {
			return nil, errs.New(errs.Unavailable, "too many large answers are being made; try again")
		}
	}
	s.room = room
	return func() { s.large.Release(int64(room)) }, nil
}

// respondAtLength answers a query in as many messages as it takes, when there is
// room for so much.
func (d *deps) respondAtLength(to string, header nats.Header, body any, room int) {
	encoded, err := encode(body)
	if err != nil {
		d.respond(to, nil, nil, err)
		return
	}
	data, one := encoded.([]byte), oneMessage(d.Conn)
	switch {
	case len(data) > room:
		d.respond(to, nil, nil, tooLargeFor(len(data)))
		return
	case len(data) <= one:
		d.respond(to, header, data, nil)
		return
	}
	parts := (len(data) + one - 1) / one
	for i := range parts {
		part := nats.Header{bus.HeaderPart: {strconv.Itoa(i+1) + "/" + strconv.Itoa(parts)}, bus.HeaderPosition: header[bus.HeaderPosition]}
		d.respond(to, part, data[i*one:min((i+1)*one, len(data))], nil)
		if d.Conn.FlushTimeout(timeout) != nil { // one after the other, so that they do not pile up here
			return
		}
	}
}

// oneMessage is how much fits into one message.
func oneMessage(conn *nats.Conn) int { return int(conn.MaxPayload()) - headers }

// withSize adds to a refusal's headers how large the answer is that was refused.
func withSize(header nats.Header, err error) nats.Header {
	var large *tooLarge
	if errors.As(err, &large) {
		header[bus.HeaderSize] = []string{strconv.Itoa(large.size)}
	}
	return header
}
