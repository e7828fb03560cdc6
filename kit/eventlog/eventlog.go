// Package eventlog is the one way to the events: it appends them to JetStream
// under optimistic concurrency and loads them back. The log is the database;
// everything else can be thrown away and rebuilt from it.
package eventlog

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/synadia-io/orbit.go/jetstreamext"

	"lonja/kit/errs"
	"lonja/kit/natsauth"
)

// Event is an event. A shop's own package of events declares the same alias.
type Event = interface {
	EventName() string
	EntityID() string
	Check() error
}

// Codec is the set of events that a log holds.
type Codec struct {
	Type    func(Event) string                           // "lonja.order.placed.v1"
	Subject func(Event) string                           // "events.order.ord_1.placed"
	Encode  func(Event) ([]byte, error)                  // checks, too
	Decode  func(typ string, data []byte) (Event, error) // checks, too
	Knows   func(typ string) bool                        // reports whether Decode knows a type; nil means that there are no others
}

// Record is an event with its place in the log. Event is nil when the message
// on that place is none of the language; Err then says why.
type Record struct {
	Envelope
	Stream   string
	Sequence uint64
	Stored   time.Time // by the server's clock; zero when only the event was asked for
	Subject  string
	Headers  nats.Header // as they came, for whoever keeps what is no event
	Data     []byte
	Event    Event
	Err      error
	// Newer says that Event is nil since only a newer program knows its type: what
	// stands there is no garbage. The type is one of its subject.
	Newer bool
}

var (
	// ErrConflict means that the entity has moved on: load what is new, look
	// whether the own command is already there, else decide again.
	ErrConflict = errors.New("the entity has changed meanwhile")
	// ErrDuplicate means that an event with this id was recorded before, perhaps
	// of another entity: nothing was recorded now.
	ErrDuplicate = errors.New("a fact with this id is there already")
	// ErrOutcomeUnknown means that no answer came: the event may be recorded or not.
	ErrOutcomeUnknown = errors.New("no answer from the log")
)

// patience is how long one request waits for its answer. A server that was lost
// gives none, while another has long been ready: so it is better to ask again.
const patience = 2 * time.Second

// Log reads and appends events. It is safe for concurrent use.
type Log struct {
	// Store, which may be nil, is a context that ends, and says why, when the store
	// behind the log takes no events any more. After that it is another one.
	Store func() context.Context

	js        jetstream.JetStream
	lang      Codec
	reach     *reach
	publisher *Publisher
	events    decorated // the publisher, in its decorators
}

// New is a log over a connection.
func New(js jetstream.JetStream, lang Codec) *Log {
	p := NewPublisher(js)
	l := &Log{js: js, lang: lang, reach: p.reach, publisher: p, events: decorated{p}}
	p.Store = func() context.Context { return storeOf(l.Store) }
	return l
}

// Append records one event on stream, provided that the last message on filter
// has the sequence after (0: that there is none). All writers of an entity
// must use the identical filter. It returns the event's sequence.
//
// It goes through the log's publisher and its decorators. Errors are those of
// Publisher.Publish, ErrDuplicate, and a decorator's own.
func (l *Log) Append(ctx context.Context, stream, filter string, after uint64, env Envelope, e Event) (Record, error) {
	data, err := l.lang.Encode(e)
	if err != nil {
		return Record{}, err
	}
	env.Type = l.lang.Type(e)
	subject := l.lang.Subject(e)
	m := message.NewMessageWithContext(ctx, env.ID, data)
	m.Metadata = env.Metadata()
	m.Metadata[jetstream.MsgIDHeader] = env.ID
	m.Metadata[ExpectedStream] = stream
	m.Metadata[ExpectedSequence] = strconv.FormatUint(after, 10)
	m.Metadata[ExpectedFilter] = filter
	if err := l.events.Publish(subject, m); err != nil {
		return Record{}, err
	}
	if m.Metadata[MetaDuplicate] != "" {
		return Record{}, ErrDuplicate
	}
	seq, err := strconv.ParseUint(m.Metadata[MetaSequence], 10, 64)
	if err != nil {
		return Record{}, fmt.Errorf("append to %s: the publisher returned no sequence; a decorator must pass on the message itself, not a copy", stream)
	}
	return Record{Envelope: env, Stream: stream, Sequence: seq, Subject: subject, Data: data, Event: e}, nil
}

// IsConflict reports whether JetStream refused a message because the last
// sequence was not the expected one.
func IsConflict(err error) bool {
	var api *jetstream.APIError
	if !errors.As(err, &api) {
		return false
	}
	switch api.ErrorCode {
	case 10071, // wrong last sequence,
		10164, // the same on replicated streams,
		10158: // the same message is still in flight there
		return true
	}
	return false
}

// IsFull reports whether a stream that discards what is new refused a message because
// it holds as much as it may.
func IsFull(err error) bool {
	var api *jetstream.APIError
	return errors.As(err, &api) && api.ErrorCode == 10077 && strings.HasPrefix(api.Description, "maximum ")
}

// Last is the sequence of the last message on filter, 0 when there is none, as
// the stream's leader knows it. A message that was written and could not be synced
// is shown there, too, and may be gone once the store is opened again: that is an
// Unavailable refusal.
func (l *Log) Last(ctx context.Context, stream, filter string) (uint64, error) {
	which := map[string]any{"last_by_subj": filter}
	msg, err := l.get(ctx, stream, which)
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		if there, err := l.holds(ctx, stream, filter); err != nil || !there {
			return 0, err
		}
		// It was recorded just now, or the disk does not give it.
		if msg, err = l.get(ctx, stream, which); errors.Is(err, jetstream.ErrMsgNotFound) {
			return 0, unreadable(stream)
		}
	}
	if err != nil {
		return 0, err
	}
	if msg.Sequence <= l.reach.of(stream) {
		return msg.Sequence, nil
	}
	end, err := l.end(ctx, stream)
	if err != nil {
		return 0, err
	}
	if end < msg.Sequence {
		return 0, errs.New(errs.Unavailable, "the log %s shows an event at %d and ends at %d: its storage has failed", stream, msg.Sequence, end)
	}
	l.reach.saw(stream, msg.Sequence)
	return msg.Sequence, nil
}

// holds reports whether there is anything on filter. A server that is asked for a
// message says that it finds none of one that its disk does not give it, too, but it
// knows how many there are.
func (l *Log) holds(ctx context.Context, stream, filter string) (bool, error) {
	var info struct {
		Error *jetstream.APIError `json:"error"`
		State struct {
			Subjects map[string]uint64 `json:"subjects"`
		} `json:"state"`
	}
	err := l.ask(ctx, "STREAM.INFO", stream, map[string]any{"subjects_filter": filter}, &info)
	if err == nil && info.Error != nil {
		err = fmt.Errorf("read %s: %w", stream, info.Error)
	}
	return len(info.State.Subjects) > 0, err
}

func unreadable(stream string) error {
	return errs.New(errs.Unavailable, "the log %s cannot be read now: the server does not find what it says is there; try again", stream)
}

// Next is the sequence of the first message on filter from a sequence on, as the
// stream's leader knows it. The error is jetstream.ErrMsgNotFound when there is none.
func (l *Log) Next(ctx context.Context, stream, filter string, from uint64) (uint64, error) {
	msg, err := l.get(ctx, stream, map[string]any{"next_by_subj": filter, "seq": from})
	return msg.Sequence, err
}

// At is the message with a sequence, as the stream's leader knows it. The error
// is jetstream.ErrMsgNotFound when the leader finds none, which also is what it says
// when its disk does not give it; and an Unavailable refusal when the stream ends
// before what is known of it: then this is perhaps another one.
func (l *Log) At(ctx context.Context, stream string, seq uint64) (Record, error) {
	if err := l.UpToDate(ctx, stream); err != nil {
		return Record{}, err
	}
	msg, err := l.get(ctx, stream, map[string]any{"seq": seq})
	if err != nil {
		return Record{}, fmt.Errorf("read %s:%d: %w", stream, seq, err)
	}
	h, err := nats.DecodeHeadersMsg(msg.Header)
	if err != nil && len(msg.Header) > 0 {
		return Record{}, fmt.Errorf("read %s:%d: %w", stream, seq, err)
	}
	r := l.Read(stream, seq, msg.Subject, h, msg.Data)
	r.Stored = msg.Time
	return r, nil
}

// UpToDate makes sure that whoever answers for a stream knows all that this
// process has seen of it. A server that stood still may take itself for the leader
// for a while, and not know that: then it is an Unavailable refusal. It does not mean
// that anything is lost: that is said by who finds it so for long, or by an append
// that landed where the log had been before; see Lost.
func (l *Log) UpToDate(ctx context.Context, stream string) error {
	_, err := l.End(ctx, stream)
	return err
}

// End is the sequence of a stream's last message, 0 when it has none yet: no less
// than this process has seen of it. Errors are as UpToDate's.
func (l *Log) End(ctx context.Context, stream string) (uint64, error) {
	known := l.reach.of(stream)
	last, err := l.end(ctx, stream)
	if err == nil && last < known {
		return 0, errs.New(errs.Unavailable, "the log %s cannot be asked now: whoever answers knows it up to %d, not %d; try again", stream, last, known)
	}
	return last, err
}

// end is the last sequence of a stream, as its leader knows it.
func (l *Log) end(ctx context.Context, stream string) (uint64, error) {
	s, err := l.js.Stream(ctx, stream)
	if err != nil {
		return 0, fmt.Errorf("read %s: %w", stream, err)
	}
	return s.CachedInfo().State.LastSeq, nil
}

type stored struct {
	Sequence uint64    `json:"seq"`
	Subject  string    `json:"subject"`
	Header   []byte    `json:"hdrs"`
	Data     []byte    `json:"data"`
	Time     time.Time `json:"time"`
}

// get asks a stream's leader for a message: any other server may be behind.
func (l *Log) get(ctx context.Context, stream string, which map[string]any) (stored, error) {
	var resp struct {
		Error   *jetstream.APIError `json:"error"`
		Message stored              `json:"message"`
	}
	switch err := l.ask(ctx, "STREAM.MSG.GET", stream, which, &resp); {
	case err != nil:
		return stored{}, err
	case resp.Error == nil:
		return resp.Message, nil
	case resp.Error.ErrorCode == jetstream.JSErrCodeMessageNotFound:
		return stored{}, jetstream.ErrMsgNotFound
	}
	return stored{}, errs.New(errs.Unavailable, "the log %s cannot be read now: %s", stream, resp.Error.Description)
}

// ask sends a stream's leader one request of JetStream's API.
func (l *Log) ask(ctx context.Context, request, stream string, what map[string]any, answer any) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	data, _ := json.Marshal(what) // numbers and strings
	msg, err := natsauth.Request(ctx, l.js.Conn(), &nats.Msg{Subject: "$JS.API." + request + "." + stream, Data: data})
	if err != nil {
		return fmt.Errorf("%w (%w)", ErrOutcomeUnknown, err)
	}
	if err := json.Unmarshal(msg.Data, answer); err != nil {
		return fmt.Errorf("the log %s answers what cannot be read: %w", stream, err)
	}
	return nil
}

// batch is how many messages one request for an entity's events asks for.
const batch = 256

// Load calls fold for every message on filter with a sequence above after and
// at most through, in order, decodable or not. On a replicated stream a
// follower may answer that is behind, so it insists until it has seen through.
func (l *Log) Load(ctx context.Context, stream, filter string, after, through uint64, fold func(Record)) error {
	for after < through {
		last, err := l.loadSome(ctx, stream, filter, after, through, fold)
		if err != nil {
			return fmt.Errorf("load from %s: %w (%w)", stream, ErrOutcomeUnknown, err)
		}
		if last == after {
			select { // a follower that is behind; it will not be for long
			case <-ctx.Done():
				return fmt.Errorf("load from %s: %w (%w)", stream, ErrOutcomeUnknown, ctx.Err())
			case <-time.After(5 * time.Millisecond):
			}
		}
		after = last
	}
	return nil
}

// loadSome is one request of Load's. It returns how far that came.
func (l *Log) loadSome(ctx context.Context, stream, filter string, after, through uint64, fold func(Record)) (uint64, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	msgs, err := jetstreamext.GetBatch(ctx, l.js, stream, batch,
		jetstreamext.GetBatchSubject(filter), jetstreamext.GetBatchSeq(after+1))
	if err != nil {
		return after, err
	}
	for raw, err := range msgs {
		switch {
		case errors.Is(err, jetstreamext.ErrNoMessages), errors.Is(err, context.DeadlineExceeded):
			return after, nil
		case err != nil:
			return after, err
		case raw.Sequence > through:
			return through, nil
		}
		fold(l.Read(stream, raw.Sequence, raw.Subject, raw.Header, raw.Data))
		after = raw.Sequence
	}
	return after, nil
}

// Read decodes a message that the server has just given out as the stream's, at
// that sequence, and so knows that the log reaches that far. What anybody else
// says to be a message of the log must not come here; see At and Decode. It never
// fails: what is wrong stands in the result's Err.
func (l *Log) Read(stream string, seq uint64, subject string, h nats.Header, data []byte) Record {
	l.reach.saw(stream, seq)
	return l.Decode(stream, seq, subject, h, data)
}

// Decode is Read of a message that is only said to be there.
func (l *Log) Decode(stream string, seq uint64, subject string, h nats.Header, data []byte) Record {
	r := Record{Stream: stream, Sequence: seq, Subject: subject, Headers: h, Data: data}
	for _, key := range []string{HeaderID, HeaderType, HeaderCausation} {
		if len(h[key]) != 1 || h[key][0] == "" {
			r.Err = fmt.Errorf("header %s stands there %d times, not once", key, len(h[key]))
			return r
		}
	}
	if r.Envelope, r.Err = ParseEnvelope(h.Get); r.Err != nil {
		return r
	}
	e, err := l.lang.Decode(r.Type, data)
	switch {
	case err != nil:
		r.Err, r.Newer = err, l.lang.Knows != nil && !l.lang.Knows(r.Type) && belongs(r.Type, subject)
	case l.lang.Subject(e) != subject:
		r.Err = fmt.Errorf("%s of %q does not belong on subject %s", r.Type, e.EntityID(), subject)
	default:
		r.Event = e
	}
	return r
}

// version is what an event's type ends with.
var version = regexp.MustCompile(`\.v[0-9]+$`)

// belongs reports whether a type that is not known can be one of a subject:
// "app.order.gifted.v1", or any other version, of "events.order.ord_1.gifted".
func belongs(typ, subject string) bool {
	tokens := strings.Split(subject, ".")
	name, n := version.ReplaceAllString(typ, ""), len(tokens)
	return n > 3 && name != typ && strings.HasSuffix(name, "."+tokens[n-3]+"."+tokens[n-1])
}
