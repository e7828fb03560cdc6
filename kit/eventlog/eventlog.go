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

	"lonja/kit/streams"
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
// safe for concurrent use. All but Knows and Sealed are required.
type Codec struct {
	Type    func(Event) string                           // event type: "lonja.order.placed.v1"
	Subject func(Event) string                           // subject: "events.order.ord_1.placed"
	Encode  func(Event) ([]byte, error)                  // fails if the event's Check does
	Decode  func(typ string, data []byte) (Event, error) // in its newest version; fails if the type is unknown or Check does
	// Knows reports whether Decode knows a type; see Record.UnknownType. Nil means that
	// no program knows more types than this one.
	Knows func(typ string) bool
	// Sealed returns the names of the JSON members of a type that are sealed, nil for none;
	// see Sealed. It is asked for every event, so it must be fast. Encode and Decode have
	// these members in plain text. Nil means that no type has any.
	Sealed func(typ string) []string
}

// Record is a message of a stream and the event that it holds. Exactly one of Event and
// Err is nil in a Record that was read.
type Record struct {
	Envelope
	Stream   string
	Sequence uint64
	// Number tells the message from all others on the partitions of its stream, and sorts it among
	// them; see streams.Layout. On a stream without partitions it is the sequence.
	Number   uint64
	StoredAt time.Time // by the server's clock; zero if it is not known, as after Read and Append
	Subject  string
	Headers  nats.Header // as stored, so that an undecodable message can be kept; nil after Append
	Data     []byte      // as stored
	Event    Event       // in its newest version, while Type is the stored one; nil if the message cannot be decoded
	Err      error       // why Event is nil
	// UnknownType reports that Event is nil because this program does not know its type,
	// although the type fits the subject: a newer program has recorded it. If UnknownType is
	// false and Event is nil, the message is not a valid event, unless it is Unavailable.
	UnknownType bool
	// Unavailable reports that Event is nil because the key that seals a part of it cannot be
	// had now. The same message may be decoded later, so it must be neither skipped nor given
	// up.
	Unavailable bool
}

var (
	// ErrConflict means that the entity has an event that the caller has not seen, so
	// nothing was appended. The caller should load the new events, look for its own
	// command among them, and otherwise decide again.
	ErrConflict = errors.New("the entity has changed since it was loaded")
	// ErrDuplicate means that the stream has recorded an event with the same UniqueID within
	// its duplicate window, perhaps for another entity. Nothing was appended.
	ErrDuplicate = errors.New("an event with this id is already recorded")
	// ErrOutcomeUnknown means that the log did not answer. After an append, the event may
	// be recorded or not; the log must be read to find out.
	ErrOutcomeUnknown = errors.New("no answer from the log")
	// ErrGone means that a message which was there is not there any more: it has reached the
	// age at which its stream removes messages.
	ErrGone = errors.New("the message has been removed by its age")
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
	// Keys seals and opens the sealed members of events. Nil means that this program has no
	// keys: it reads such events without these members, and cannot append any. Set it before
	// the first use.
	Keys KeyRing
	// Layout is how streams are partitioned. Set it before the first use.
	Layout streams.Layout
	// Synced waits until a message of a stream is on the disk. Set it before the first use.
	Synced SyncFunc

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
// the envelope, and its correlation and trace if they are empty; the other fields are the
// caller's.
//
// The Record holds the sequence of the event, which is stored and may not be synced yet; see
// AwaitSync. A second call with the same arguments records
// nothing: the error is ErrConflict, or ErrDuplicate with the option UniqueID. Other errors
// are those of Codec.Encode, Publisher.Publish and the decorators, errs.Unavailable if the key
// to seal the event cannot be had now, and errs.Conflict with ErrKeyDestroyed in it. Append
// waits two seconds at most, and as long again for a key.
func (l *Log) Append(ctx context.Context, stream, filter string, after uint64, env Envelope, e Event, options ...AppendOption) (Record, error) {
	env.Type = l.codec.Type(e)
	data, err := l.encode(ctx, env.Type, e)
	if err != nil {
		return Record{}, err
	}
	env = env.complete()
	subject := streams.SubjectOn(stream, l.codec.Subject(e))
	m := message.NewMessageWithContext(ctx, env.ID, data)
	m.Metadata = env.compact().Metadata()
	m.Metadata[ExpectedStream] = stream
	m.Metadata[ExpectedSequence] = strconv.FormatUint(after, 10)
	m.Metadata[ExpectedFilter] = filter
	for _, option := range options {
		option(m.Metadata)
	}
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
	return Record{Envelope: env, Stream: stream, Sequence: seq, Number: l.Layout.Number(stream, seq), Subject: subject, Data: data, Event: e}, nil
}

// AwaitSync returns once the message with a sequence, and so every message of the stream
// before it, survives a power cut. Nobody outside may learn of a message before: neither a
// client, nor rows, nor another stream. The error is errs.Unavailable if the disk does not
// take it, and that of ctx if it ends before; the message may be lost then, or not.
func (l *Log) AwaitSync(ctx context.Context, stream string, sequence uint64) error {
	if sequence == 0 {
		return nil
	}
	return l.Synced.await(ctx, l.js.Conn(), stream, sequence)
}

// AppendOption changes one call of Append.
type AppendOption func(message.Metadata)

// UniqueID makes the append fail with ErrDuplicate if the stream has recorded a message with
// the same id, perhaps of another entity, within its duplicate window. The condition of
// Append compares only the events of one entity. The id is stored with the event.
func UniqueID(id string) AppendOption {
	return func(m message.Metadata) { m[jetstream.MsgIDHeader] = id }
}

// Outage returns why the log takes no events at present: its store has stopped, or the last
// append to one of its streams failed within the last ten seconds. It returns nil while the
// log takes events, and also when nobody has tried lately. The error is errs.Unavailable or
// ErrOutcomeUnknown.
func (l *Log) Outage() error { return l.publisher.Outage() }

// DataLoss returns an errs.Unavailable error once an append has shown that a stream was
// replaced, has lost events, or does not get the events of its subjects, and nil before.
// After that the log appends nothing until the process starts again, since new events must
// not mix with those that will be restored.
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

// RemovesByAge reports whether a stream removes messages once they have reached an age, and for no
// other reason: nobody can delete or purge any, and it has no other limit. What is missing at its
// beginning has reached that age.
func RemovesByAge(c jetstream.StreamConfig) bool {
	return c.MaxAge > 0 && c.DenyDelete && c.DenyPurge && c.MaxMsgs <= 0 && c.MaxMsgsPerSubject <= 0 &&
		(c.MaxBytes <= 0 || c.Discard == jetstream.DiscardNew)
}

// IsFull reports whether err is the rejection of a message by a stream with the policy
// DiscardNew that has reached one of its limits.
func IsFull(err error) bool {
	var api *jetstream.APIError
	return errors.As(err, &api) && api.ErrorCode == 10077 && strings.HasPrefix(api.Description, "maximum ")
}
