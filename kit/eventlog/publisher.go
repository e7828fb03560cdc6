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

// Metadata that tells a Publisher where, and on which condition, it appends a
// message. They are headers of JetStream, and are stored with the event.
const (
	// ExpectedStream is the stream that the message goes to. It is required.
	ExpectedStream = jetstream.ExpectedStreamHeader
	// ExpectedSequence is the sequence that the last message on ExpectedFilter has,
	// "0" for none. Without it the message is appended whatever is there.
	ExpectedSequence = jetstream.ExpectedLastSubjSeqHeader
	// ExpectedFilter is a subject, perhaps with wildcards; without it the message's
	// own is meant. All writers of an entity must use the identical one.
	ExpectedFilter = jetstream.ExpectedLastSubjSeqSubjHeader
)

// Publisher appends events to JetStream. It is a Watermill publisher in the wire
// format of watermill-nats: other Watermill programs read what it writes, and any
// decorator of publishers works with it. Unlike the publisher of watermill-nats, it
// takes the condition of an append from the message's metadata and returns the
// sequence there, respects the message's context, and leaves the shared connection
// open. It is safe for concurrent use.
type Publisher struct {
	// Store is as Log.Store.
	Store func() context.Context

	js      jetstream.JetStream
	reach   *reach
	outages outages
}

var _ message.Publisher = (*Publisher)(nil)

// NewPublisher is a publisher over a connection. A Log makes its own.
func NewPublisher(js jetstream.JetStream) *Publisher { return &Publisher{js: js, reach: &reach{}} }

// marshaler writes a message's metadata and UUID as headers.
var marshaler wmnats.NATSMarshaler

// Publish implements message.Publisher: it appends the messages on the subject topic,
// one after the other, and stops at the first error. Each message needs the metadata
// ExpectedStream. All metadata is stored as headers, except for keys that begin with
// eventlog.MetaPrefix. Afterwards eventlog.MetaStream and eventlog.MetaSequence say
// where the message is stored. If the stream holds a message with the same Nats-Msg-Id
// already, nothing is appended: the sequence is that message's, and
// eventlog.MetaDuplicate is "true".
//
// Errors are ErrConflict when the condition does not hold; ErrOutcomeUnknown when no answer
// came; an Invalid refusal when no stream can hold the message; and an Unavailable
// refusal when the log cannot take it, because its disk is full for instance: then
// nothing was recorded. It is also Unavailable, at once, while the log answers nobody
// or its store has failed; an append that was under way then may be recorded or not.
// After a message was not recorded where the log ended, the error is always Lost's:
// new events must not be mixed with what will be restored.
func (p *Publisher) Publish(topic string, messages ...*message.Message) error {
	for _, m := range messages {
		if err := p.record(topic, m); err != nil {
			return err
		}
	}
	return nil
}

// Close implements message.Publisher. It closes nothing: the connection is not the
// publisher's own, and Publish waits for every answer.
func (p *Publisher) Close() error { return nil }

func (p *Publisher) record(subject string, m *message.Message) error {
	stream := m.Metadata[ExpectedStream]
	if stream == "" {
		return fmt.Errorf("publish on %s: the message has no metadata %s", subject, ExpectedStream)
	}
	if err := p.reach.why(); err != nil {
		return err
	}
	msg, err := marshaler.Marshal(subject, m)
	if err != nil {
		return fmt.Errorf("publish on %s: %w", subject, err)
	}
	for key := range msg.Header {
		if strings.HasPrefix(key, MetaPrefix) {
			delete(msg.Header, key) // from a subscriber, or of an earlier try
		}
	}
	delete(m.Metadata, MetaDuplicate)
	known := p.reach.of(stream) // before: others record meanwhile
	ack, err := p.send(m.Context(), stream, msg)
	if err != nil {
		return err
	}
	if ack.Duplicate {
		m.Metadata[MetaDuplicate] = "true"
	} else if ack.Sequence <= known {
		return p.reach.broke(stream, ack.Sequence, known)
	} else {
		p.reach.saw(stream, ack.Sequence)
	}
	m.Metadata[MetaStream] = stream
	m.Metadata[MetaSequence] = strconv.FormatUint(ack.Sequence, 10)
	return nil
}

// send waits for the answer to an append, unless it is known that none will come.
func (p *Publisher) send(ctx context.Context, stream string, msg *nats.Msg) (*jetstream.PubAck, error) {
	store := storeOf(p.Store)
	if err := stopped(store); err != nil {
		return nil, err
	}
	asked, err := p.outages.admit(stream, p.js.Conn().Stats().Reconnects)
	if err != nil {
		return nil, err
	}
	waiting, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	defer context.AfterFunc(store, cancel)()
	ack, err := p.js.PublishMsg(waiting, msg, jetstream.WithRetryAttempts(0))
	if err == nil {
		p.outages.took(asked)
		return ack, nil
	}
	if why := stopped(store); why != nil && waiting.Err() != nil {
		p.outages.failed(asked, nil)
		return nil, why
	}
	wrong := appendError(stream, err)
	if ctx.Err() == nil && tells(wrong) {
		p.outages.failed(asked, wrong)
	} else {
		p.outages.failed(asked, nil) // the caller has gone, or the stream has answered
	}
	return nil, wrong
}

// tells reports whether the error of an append is the log's fault.
func tells(err error) bool {
	return errors.Is(err, ErrOutcomeUnknown) || errs.Is(err, errs.Unavailable)
}

func appendError(stream string, err error) error {
	if IsConflict(err) {
		return ErrConflict
	}
	if errors.Is(err, nats.ErrMaxPayload) {
		return errs.New(errs.Invalid, "the request leads to more than one message can hold; ask for less")
	}
	var api *jetstream.APIError
	if !errors.As(err, &api) {
		return fmt.Errorf("append to %s: %w (%w)", stream, ErrOutcomeUnknown, err)
	}
	return errs.New(errs.Unavailable, "the log %s takes no facts now: %s", stream, api.Description)
}

// Decorate wraps the log's publisher in decorators; the first one is outermost. A
// decorator must pass on the message itself, because its metadata returns the sequence.
// It may wrap an error, but errors.Is must still find the publisher's, because a
// conflict is decided again. What it adds to the metadata is stored with the event.
// Call Decorate before the first Append. The error is the decorator's.
func (l *Log) Decorate(decorators ...message.PublisherDecorator) error {
	for _, decorate := range slices.Backward(decorators) {
		p, err := decorate(l.events.Publisher)
		if err != nil {
			return fmt.Errorf("decorate the publisher of events: %w", err)
		}
		l.events.Publisher = p
	}
	return nil
}

// Publisher returns the decorated publisher that Append uses. Its Close does nothing,
// so that handlers of a router can share it; see Log.Close.
func (l *Log) Publisher() message.Publisher { return l.events }

// Close closes the publisher's decorators and leaves the connection open. Call it
// after the last Append.
func (l *Log) Close() error { return l.events.Publisher.Close() }

// Failing is why the log takes no events at present, nil while it does, and while
// nobody has tried lately.
func (l *Log) Failing() error { return l.publisher.Failing() }

// decorated is the publisher with its decorators.
type decorated struct{ message.Publisher }

// String is the publisher's name in Watermill's metrics and traces.
func (decorated) String() string { return "eventlog.Publisher" }

// Close implements message.Publisher. It does nothing: a router closes a handler's
// publisher when that handler takes no more messages, while others still publish.
func (decorated) Close() error { return nil }
