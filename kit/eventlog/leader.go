package eventlog

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"lonja/kit/errs"
	"lonja/kit/natsauth"
)

// Last returns the sequence of the last message on filter, 0 if there is none, as the
// stream's leader knows it.
//
// The error is errs.Unavailable if the message cannot be relied on: the server's disk does
// not return it, or it was written but not synced, so that it may be gone once the store is
// opened again. Without an answer within two seconds, the error is ErrOutcomeUnknown. Other
// errors are those of JetStream.Stream.
func (l *Log) Last(ctx context.Context, stream, filter string) (uint64, error) {
	query := map[string]any{"last_by_subj": filter}
	msg, err := l.get(ctx, stream, query)
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		if found, err := l.hasMessages(ctx, stream, filter); err != nil || !found {
			return 0, err
		}
		// It was recorded between the two requests, or the disk does not return it.
		if msg, err = l.get(ctx, stream, query); errors.Is(err, jetstream.ErrMsgNotFound) {
			return 0, errs.New(errs.Unavailable, "the log %s cannot be read now: the server does not find a message that it has counted; try again", stream)
		}
	}
	if err != nil {
		return 0, err
	}
	if msg.Sequence <= l.ends.end(stream) {
		return msg.Sequence, nil
	}
	end, err := l.leaderEnd(ctx, stream)
	if err != nil {
		return 0, err
	}
	if end < msg.Sequence {
		return 0, errs.New(errs.Unavailable, "the log %s shows an event at %d but ends at %d: its storage has failed", stream, msg.Sequence, end)
	}
	l.ends.raise(stream, msg.Sequence)
	return msg.Sequence, nil
}

// hasMessages reports whether there is a message on filter. A server answers "not found"
// also for a message that its disk does not return, but it still counts that message.
func (l *Log) hasMessages(ctx context.Context, stream, filter string) (bool, error) {
	var info struct {
		Error *jetstream.APIError `json:"error"`
		State struct {
			Subjects map[string]uint64 `json:"subjects"`
		} `json:"state"`
	}
	err := l.request(ctx, "STREAM.INFO", stream, map[string]any{"subjects_filter": filter}, &info)
	if err == nil && info.Error != nil {
		err = fmt.Errorf("read %s: %w", stream, info.Error)
	}
	return len(info.State.Subjects) > 0, err
}

// Next returns the sequence of the first message on filter whose sequence is at least from,
// as the stream's leader knows it. The error is jetstream.ErrMsgNotFound if there is none,
// errs.Unavailable if the server cannot read it, and ErrOutcomeUnknown without an answer
// within two seconds.
func (l *Log) Next(ctx context.Context, stream, filter string, from uint64) (uint64, error) {
	msg, err := l.get(ctx, stream, map[string]any{"next_by_subj": filter, "seq": from})
	return msg.Sequence, err
}

// At returns the message with a sequence, decodable or not, as the stream's leader knows
// it. The error is jetstream.ErrMsgNotFound if the leader does not find it, which is also
// what it answers when its disk does not return the message. Other errors are as those of
// End and Next.
func (l *Log) At(ctx context.Context, stream string, seq uint64) (Record, error) {
	if err := l.CheckLeader(ctx, stream); err != nil {
		return Record{}, err
	}
	return l.at(ctx, stream, seq)
}

// at is At without CheckLeader.
func (l *Log) at(ctx context.Context, stream string, seq uint64) (Record, error) {
	msg, err := l.get(ctx, stream, map[string]any{"seq": seq})
	if err != nil {
		return Record{}, fmt.Errorf("read %s:%d: %w", stream, seq, err)
	}
	h, err := nats.DecodeHeadersMsg(msg.Header)
	if err != nil && len(msg.Header) > 0 {
		return Record{}, fmt.Errorf("read %s:%d: %w", stream, seq, err)
	}
	r := l.Read(stream, seq, msg.Subject, h, msg.Data)
	r.StoredAt = msg.Time
	return r, nil
}

// CheckLeader verifies that the server that answers as the stream's leader knows every
// message of it that this process has seen. A server that was paused may believe for a
// while that it is still the leader. Errors are those of End.
func (l *Log) CheckLeader(ctx context.Context, stream string) error {
	_, err := l.End(ctx, stream)
	return err
}

// End returns the sequence of a stream's last message, 0 if it never had one. The error is
// errs.Unavailable if the answering server knows the stream only up to an earlier message
// than this process has seen. That alone does not mean that events are lost: the server may
// be behind. It is a loss if the error persists, or once DataLoss reports one. Other errors
// are those of JetStream.Stream.
func (l *Log) End(ctx context.Context, stream string) (uint64, error) {
	known := l.ends.end(stream)
	end, err := l.leaderEnd(ctx, stream)
	if err == nil && end < known {
		return 0, errs.New(errs.Unavailable, "the log %s cannot be read now: the server that answers knows it up to %d, but it has reached %d; try again", stream, end, known)
	}
	return end, err
}

// Created returns when a stream was created. A stream that was created at another time is another
// log, also under the same name. Errors are those of JetStream.Stream.
func (l *Log) Created(ctx context.Context, stream string) (time.Time, error) {
	s, err := l.js.Stream(ctx, stream)
	if err != nil {
		return time.Time{}, fmt.Errorf("read %s: %w", stream, err)
	}
	return s.CachedInfo().Created, nil
}

// leaderEnd returns the last sequence of a stream as the answering server knows it.
func (l *Log) leaderEnd(ctx context.Context, stream string) (uint64, error) {
	s, err := l.js.Stream(ctx, stream)
	if err != nil {
		return 0, fmt.Errorf("read %s: %w", stream, err)
	}
	return s.CachedInfo().State.LastSeq, nil
}

// storedMessage is a message as JetStream's API returns it.
type storedMessage struct {
	Sequence uint64    `json:"seq"`
	Subject  string    `json:"subject"`
	Header   []byte    `json:"hdrs"`
	Data     []byte    `json:"data"`
	Time     time.Time `json:"time"`
}

// get requests one message from a stream's leader: any other server may be behind.
func (l *Log) get(ctx context.Context, stream string, query map[string]any) (storedMessage, error) {
	var resp struct {
		Error   *jetstream.APIError `json:"error"`
		Message storedMessage       `json:"message"`
	}
	switch err := l.request(ctx, "STREAM.MSG.GET", stream, query, &resp); {
	case err != nil:
		return storedMessage{}, err
	case resp.Error == nil:
		return resp.Message, nil
	case resp.Error.ErrorCode == jetstream.JSErrCodeMessageNotFound:
		return storedMessage{}, jetstream.ErrMsgNotFound
	}
	return storedMessage{}, errs.New(errs.Unavailable, "the log %s cannot be read now: %s", stream, resp.Error.Description)
}

// request sends one request of JetStream's API to a stream's leader and decodes the
// response into resp.
func (l *Log) request(ctx context.Context, api, stream string, query map[string]any, resp any) error {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	data, _ := json.Marshal(query) // strings and numbers only, so it cannot fail
	msg, err := natsauth.Request(ctx, l.js.Conn(), &nats.Msg{Subject: "$JS.API." + api + "." + stream, Data: data})
	if err != nil {
		return fmt.Errorf("%w (%w)", ErrOutcomeUnknown, err)
	}
	if err := json.Unmarshal(msg.Data, resp); err != nil {
		return fmt.Errorf("read %s: the response to %s cannot be decoded: %w", stream, api, err)
	}
	return nil
}
