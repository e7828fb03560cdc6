// Package wire brings messages from NATS to Watermill: requests on core NATS, events
// on JetStream. Events go out through eventlog.Publisher. Watermill's own subscriber for JetStream is not
// used because it can panic on shutdown, ignores the consumer's configuration
// and loses the sequence; its marshaler is, so that any Watermill program reads
// what lonja writes and the other way round.
package bus

import (
	"context"
	"sync"

	wmnats "github.com/ThreeDotsLabs/watermill-nats/v2/pkg/nats"
	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/nats-io/nats.go"

	"lonja/kit/eventlog"
	"lonja/kit/natsauth"
)

// Metadata that the subscribers add to what the sender wrote.
const (
	MetaPrefix    = eventlog.MetaPrefix
	MetaReply     = MetaPrefix + "reply"     // of a request: where the answer is awaited
	MetaSubject   = MetaPrefix + "subject"   // the message's
	MetaStream    = eventlog.MetaStream      // of a message of JetStream: its stream,
	MetaSequence  = eventlog.MetaSequence    // its sequence
	MetaDelivered = MetaPrefix + "delivered" // how often it was delivered, from 1,
	MetaStored    = MetaPrefix + "stored"    // and when it was stored, as RFC 3339
)

var marshaler = &wmnats.NATSMarshaler{}

// RequestSubscriber subscribes to requests on core NATS. Each goes to one member of the
// queue group. It never closes the connection, which is not its own.
type RequestSubscriber struct {
	Conn  *nats.Conn
	Queue string
	// InFlight bounds how many requests are worked on at once; 0 means 256.
	InFlight int
	// Unreadable is told of a request that is no Watermill message.
	Unreadable func(*nats.Msg, error)
	// Rejected is told of a message that is no request to the topic; see CheckRequest.
	Rejected func(*nats.Msg, error)

	once    sync.Once
	closing chan struct{}
	open    sync.WaitGroup
}

func (r *RequestSubscriber) init() { r.closing = make(chan struct{}) }

// Subscribe implements message.Subscriber. Cancelling ctx or Close stops new
// requests; those that arrived are still handed over.
func (r *RequestSubscriber) Subscribe(ctx context.Context, topic string) (<-chan *message.Message, error) {
	r.once.Do(r.init)
	limit := r.InFlight
	if limit == 0 {
		limit = 256
	}
	out := make(chan *message.Message)
	slots := make(chan struct{}, limit)
	drained := make(chan struct{})
	sub, err := r.Conn.QueueSubscribe(topic, r.Queue, func(m *nats.Msg) {
		if err := natsauth.CheckRequest(m, topic); err != nil {
			r.Rejected(m, err)
			return
		}
		msg, err := request(m)
		if err != nil {
			r.Unreadable(m, err)
			return
		}
		slots <- struct{}{}
		out <- msg
		go func() {
			select {
			case <-msg.Acked():
			case <-msg.Nacked():
			}
			<-slots
		}()
	})
	if err != nil {
		return nil, err
	}
	sub.SetClosedHandler(func(string) { close(drained) })
	r.open.Go(func() {
		select {
		case <-ctx.Done():
		case <-r.closing:
		}
		if sub.Drain() == nil {
			<-drained
		}
		close(out)
	})
	return out, nil
}

// Close implements message.Subscriber: it waits until all is handed over.
func (r *RequestSubscriber) Close() error {
	r.once.Do(r.init)
	select {
	case <-r.closing:
	default:
		close(r.closing)
	}
	r.open.Wait()
	return nil
}

func request(m *nats.Msg) (*message.Message, error) {
	msg, err := unmarshal(m)
	if err != nil {
		return nil, err
	}
	msg.Metadata.Set(MetaReply, m.Reply)
	return msg, nil
}

// unmarshal is Watermill's, with an id for messages that were sent without one.
func unmarshal(m *nats.Msg) (*message.Message, error) {
	msg, err := marshaler.Unmarshal(m)
	if err != nil {
		return nil, err
	}
	if msg.UUID == "" {
		if msg.UUID = msg.Metadata.Get(eventlog.HeaderID); msg.UUID == "" {
			msg.UUID = eventlog.NewID()
		}
	}
	msg.Metadata.Set(MetaSubject, m.Subject)
	return msg, nil
}
