package eventlog

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// Event is something that has happened to an entity. EventName is its name with a version
// ("order.placed.v1"), EntityID is the id of the entity, and Check returns an error if the
// event must be neither recorded nor read. It is an alias, so that an application's package
// of events can declare the same type without importing this one.
type Event = interface {
	EventName() string
	EntityID() string
	Check() error
}

// Codec maps the events of an application to messages and back. Its functions must be
// safe for concurrent use. All but Knows are required.
type Codec struct {
	Type    func(Event) string                           // event type: "lonja.order.placed.v1"
	Subject func(Event) string                           // subject: "events.order.ord_1.placed"
	Encode  func(Event) ([]byte, error)                  // fails if the event's Check does
	Decode  func(typ string, data []byte) (Event, error) // fails if the type is unknown or Check does
	// Knows reports whether Decode knows a type; see Record.UnknownType. Nil means that
	// no program knows more types than this one.
	Knows func(typ string) bool
}

// Record is a message of a stream and the event that it holds. Exactly one of Event and
// Err is nil in a Record that was read.
type Record struct {
	Envelope
	Stream   string
	Sequence uint64
	StoredAt time.Time // by the server's clock; zero if it is not known, as after Read and Append
	Subject  string
	Headers  nats.Header // as stored, so that an undecodable message can be kept; nil after Append
	Data     []byte      // as stored
	Event    Event       // nil if the message cannot be decoded
	Err      error       // why Event is nil
	// UnknownType reports that Event is nil because this program does not know its type,
	// although the type fits the subject: a newer program has recorded it. If UnknownType is
	// false and Event is nil, the message is not a valid event.
	UnknownType bool
}

var (
	// ErrConflict means that the entity has an event that the caller has not seen, so
	// nothing was appended. The caller should load the new events, look for its own
	// command among them, and otherwise decide again.
	ErrConflict = errors.New("the entity has changed since it was loaded")
	// ErrDuplicate means that the stream has recorded an event with this id within its
	// duplicate window, perhaps for another entity. Nothing was appended.
	ErrDuplicate = errors.New("an event with this id is already recorded")
	// ErrOutcomeUnknown means that the log did not answer. After an append, the event may
	// be recorded or not; the log must be read to find out.
	ErrOutcomeUnknown = errors.New("no answer from the log")
)

// requestTimeout limits one request to the log. A request that a failed server has received
// gets no answer, while another server may be ready already; so it is better to give up
// soon and ask again.
const requestTimeout = 2 * time.Second

// Log appends and reads events. It is safe for concurrent use once it is configured.
type Log struct {
	// StoreContext returns a context that ends, with a cause, when the store behind the
	// log stops taking events. When the store takes events again, StoreContext returns
	// another context. Nil means that the store never stops. Set it before the first use.
	StoreContext func() context.Context

	js        jetstream.JetStream
	codec     Codec
	ends      *knownEnds
	publisher *Publisher
	decorated decorated // the publisher in its decorators
}

// New returns a log of all streams that the connection of js reaches. The caller closes the
// connection.
func New(js jetstream.JetStream, codec Codec) *Log {
	p := NewPublisher(js)
	l := &Log{js: js, codec: codec, ends: p.ends, publisher: p, decorated: decorated{p}}
	p.StoreContext = func() context.Context { return storeContext(l.StoreContext) }
	return l
}

// Append records one event on stream if the last message on filter has the sequence after,
// or if there is none and after is 0. Filter matches all events of the entity
// ("events.order.ord_1.>"). All writers of an entity must use the identical filter, since
// a replicated stream tracks appends in flight by that string. Append sets the type of
// the envelope; the other fields are the caller's.
//
// The Record holds the sequence of the event. A second call with the same arguments records
// nothing: the error is ErrConflict or ErrDuplicate. Other errors are those of Codec.Encode,
// Publisher.Publish and the decorators. Append waits two seconds at most.
func (l *Log) Append(ctx context.Context, stream, filter string, after uint64, env Envelope, e Event) (Record, error) {
	data, err := l.codec.Encode(e)
	if err != nil {
		return Record{}, err
	}
	env.Type = l.codec.Type(e)
	subject := l.codec.Subject(e)
	m := message.NewMessageWithContext(ctx, env.ID, data)
	m.Metadata = env.Metadata()
	m.Metadata[jetstream.MsgIDHeader] = env.ID
	m.Metadata[ExpectedStream] = stream
	m.Metadata[ExpectedSequence] = strconv.FormatUint(after, 10)
	m.Metadata[ExpectedFilter] = filter
	if err := l.decorated.Publish(subject, m); err != nil {
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

// Outage returns why the log takes no events at present: its store has stopped, or the last
// append to one of its streams failed within the last ten seconds. It returns nil while the
// log takes events, and also when nobody has tried lately. The error is errs.Unavailable or
// ErrOutcomeUnknown.
func (l *Log) Outage() error { return l.publisher.Outage() }

// DataLoss returns an errs.Unavailable error once an append has shown that a stream was
// replaced or has lost events, and nil before. After that the log appends nothing until the
// process starts again, since new events must not mix with those that will be restored.
func (l *Log) DataLoss() error { return l.ends.err() }

// IsConflict reports whether err is JetStream's rejection of a message because the last
// sequence was not the expected one.
func IsConflict(err error) bool {
	var api *jetstream.APIError
	if !errors.As(err, &api) {
		return false
	}
	switch api.ErrorCode {
	case 10071, // wrong last sequence
		10164, // wrong last sequence, on a replicated stream
		10158: // the same message is still in flight, on a replicated stream
		return true
	}
	return false
}

// IsFull reports whether err is the rejection of a message by a stream with the policy
// DiscardNew that has reached one of its limits.
func IsFull(err error) bool {
	var api *jetstream.APIError
	return errors.As(err, &api) && api.ErrorCode == 10077 && strings.HasPrefix(api.Description, "maximum ")
}
