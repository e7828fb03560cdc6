package eventlog

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	wmnats "github.com/ThreeDotsLabs/watermill-nats/v2/pkg/nats"
	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"lonja/kit/errs"
)

// Metadata that tells a Publisher where, and on which condition, to append a message.
// JetStream compares ExpectedSequence and ExpectedFilter, and stores them with the event.
const (
	// ExpectedStream is the stream that the message goes to. It is required. It is not sent:
	// the acknowledgement names the stream, and an event is not acknowledged by any other.
	ExpectedStream = MetaPrefix + "expected-stream"
	// ExpectedSequence is the sequence, in decimal, that the last message on ExpectedFilter
	// must have; "0" means that there must be none. Without ExpectedSequence, the append is
	// unconditional.
	ExpectedSequence = jetstream.ExpectedLastSubjSeqHeader
	// ExpectedFilter is a subject that may contain wildcards; the default is the message's
	// own subject. All writers of an entity must use the identical filter.
	ExpectedFilter = jetstream.ExpectedLastSubjSeqSubjHeader
)

// Publisher appends events to JetStream. It is a Watermill publisher that writes the wire
// format of watermill-nats, so other Watermill programs can read the events, and any
// publisher decorator works with it. Unlike watermill-nats' own publisher, it takes the
// condition of an append from the message's metadata and returns the sequence there,
// respects the message's context, and leaves the shared connection open. It is safe for
// concurrent use.
type Publisher struct {
	// StoreContext is as Log.StoreContext.
	StoreContext func() context.Context

	js       jetstream.JetStream
	ends     *knownEnds
	breakers breakers
}

var _ message.Publisher = (*Publisher)(nil)

// NewPublisher returns a publisher on the connection of js. A Log has one already; see
// Log.Publisher.
func NewPublisher(js jetstream.JetStream) *Publisher { return &Publisher{js: js, ends: &knownEnds{}} }

// marshaler writes a message's metadata and UUID as headers.
var marshaler wmnats.NATSMarshaler

// Publish implements message.Publisher. It appends the messages on the subject topic, one
// after another, and stops at the first error; the messages before that are recorded. Each
// message needs the metadata ExpectedStream. All metadata is stored as headers, except for
// keys that begin with MetaPrefix.
//
// Publish sets the metadata MetaStream and MetaSequence of each recorded message to where it
// is stored. If the stream already holds a message with the same Nats-Msg-Id within its
// duplicate window, nothing is appended: MetaSequence is that of the earlier message and
// MetaDuplicate is "true". Without a Nats-Msg-Id or a condition, a second call appends the
// message again.
//
// The errors are:
//   - ErrConflict: the condition does not hold. Nothing was recorded.
//   - ErrOutcomeUnknown: no answer came. The event may be recorded or not.
//   - errs.Invalid: the message is larger than the server allows. Nothing was recorded.
//   - errs.Unavailable: the log cannot take the event, for example because its disk is full.
//     Nothing was recorded. While a stream does not answer or the store has stopped, this
//     error comes at once; only an append that was in flight when the store stopped may be
//     recorded or not.
//   - errs.Unavailable, for every append after a data loss: see Log.DataLoss. The event that
//     revealed the loss is stored, but is not acknowledged. It is a loss as well if another
//     stream than the expected one has stored the event.
func (p *Publisher) Publish(topic string, messages ...*message.Message) error {
	for _, m := range messages {
		if err := p.publish(topic, m); err != nil {
			return err
		}
	}
	return nil
}

// Close implements message.Publisher. It does nothing: the connection is shared, and
// Publish returns only after the answer.
func (p *Publisher) Close() error { return nil }

// Outage is as Log.Outage.
func (p *Publisher) Outage() error {
	if err := storeError(storeContext(p.StoreContext)); err != nil {
		return err
	}
	return p.breakers.outage()
}

func (p *Publisher) publish(subject string, m *message.Message) error {
	stream := m.Metadata[ExpectedStream]
	if stream == "" {
		return fmt.Errorf("publish on %s: the message has no metadata %s", subject, ExpectedStream)
	}
	if err := p.ends.err(); err != nil {
		return err
	}
	msg, err := marshaler.Marshal(subject, m)
	if err != nil {
		return fmt.Errorf("publish on %s: %w", subject, err)
	}
	for key := range msg.Header {
		if strings.HasPrefix(key, MetaPrefix) {
			delete(msg.Header, key) // set by a subscriber or by an earlier call
		}
	}
	delete(m.Metadata, MetaDuplicate)
	known := p.ends.end(stream) // before sending, because others append at the same time
	ack, err := p.send(m.Context(), stream, msg)
	if err != nil {
		return err
	}
	if ack.Stream != stream {
		return p.ends.setWrongStream(stream, ack.Stream, ack.Sequence)
	}
	if ack.Duplicate {
		m.Metadata[MetaDuplicate] = "true"
	} else if ack.Sequence <= known {
		return p.ends.setDataLoss(stream, ack.Sequence, known)
	} else {
		p.ends.raise(stream, ack.Sequence)
	}
	m.Metadata[MetaStream] = stream
	m.Metadata[MetaSequence] = strconv.FormatUint(ack.Sequence, 10)
	return nil
}

// send sends a message and waits for the answer, unless it is known that none will come.
func (p *Publisher) send(ctx context.Context, stream string, msg *nats.Msg) (*jetstream.PubAck, error) {
	store := storeContext(p.StoreContext)
	if err := storeError(store); err != nil {
		return nil, err
	}
	a, err := p.breakers.admit(stream, p.js.Conn().Stats().Reconnects)
	if err != nil {
		return nil, err
	}
	waiting, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	defer context.AfterFunc(store, cancel)()
	ack, err := p.js.PublishMsg(waiting, msg, jetstream.WithRetryAttempts(0))
	if err == nil {
		p.breakers.succeeded(a)
		return ack, nil
	}
	if stopped := storeError(store); stopped != nil && waiting.Err() != nil {
		p.breakers.failed(a, nil)
		return nil, stopped
	}
	err = appendError(stream, err)
	if ctx.Err() == nil && isOutage(err) {
		p.breakers.failed(a, err)
	} else {
		p.breakers.failed(a, nil) // the caller has given up, or the stream has answered
	}
	return nil, err
}

// isOutage reports whether the error of an append is a failure of the log itself.
func isOutage(err error) bool {
	return errors.Is(err, ErrOutcomeUnknown) || errs.Is(err, errs.Unavailable)
}

// appendError translates an error of JetStream; see Publish.
func appendError(stream string, err error) error {
	if IsConflict(err) {
		return ErrConflict
	}
	if errors.Is(err, nats.ErrMaxPayload) {
		return errs.New(errs.Invalid, "the request results in an event that is larger than a message may be; ask for less")
	}
	var api *jetstream.APIError
	if !errors.As(err, &api) {
		return fmt.Errorf("append to %s: %w (%w)", stream, ErrOutcomeUnknown, err)
	}
	return errs.New(errs.Unavailable, "the log %s takes no events now: %s", stream, api.Description)
}

// storeContext returns the context of the store, which never ends if source is nil.
func storeContext(source func() context.Context) context.Context {
	if source == nil {
		return context.Background()
	}
	return source()
}

// storeError returns why the store has stopped taking events, nil if it has not.
func storeError(store context.Context) error {
	if store.Err() == nil {
		return nil
	}
	return errs.New(errs.Unavailable, "the log takes no events now: %v", context.Cause(store))
}

// Decorate wraps the log's publisher in decorators; the first one is outermost. Call it
// before the first Append. The error is the decorator's.
//
// A decorator must pass on the message itself, because the sequence is returned in its
// metadata. It may wrap an error, but errors.Is must still find the publisher's error in
// it, because callers decide again after ErrConflict. Metadata that it adds is stored with
// the event.
func (l *Log) Decorate(decorators ...message.PublisherDecorator) error {
	for _, decorate := range slices.Backward(decorators) {
		p, err := decorate(l.decorated.Publisher)
		if err != nil {
			return fmt.Errorf("decorate the publisher of events: %w", err)
		}
		l.decorated.Publisher = p
	}
	return nil
}

// Publisher returns the decorated publisher that Append uses. Its Close does nothing, so
// handlers of a router can share it; see Log.Close.
func (l *Log) Publisher() message.Publisher { return l.decorated }

// Close closes the publisher's decorators and leaves the connection open. Call it after
// the last Append.
func (l *Log) Close() error { return l.decorated.Publisher.Close() }

// decorated is the publisher in its decorators.
type decorated struct{ message.Publisher }

// String returns the publisher's name in Watermill's metrics and traces.
func (decorated) String() string { return "eventlog.Publisher" }

// Close implements message.Publisher. It does nothing: a router closes a handler's
// publisher when that handler stops, while others still publish.
func (decorated) Close() error { return nil }
