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
	MetaReply     = MetaPrefix + "reply"     // of a request: the inbox for the answer
	MetaSubject   = MetaPrefix + "subject"   // the message's subject
	MetaStream    = eventlog.MetaStream      // of a message of JetStream: its stream,
	MetaSequence  = eventlog.MetaSequence    // its sequence there,
	MetaDelivered = MetaPrefix + "delivered" // how many times it was delivered, from 1,
	MetaStored    = MetaPrefix + "stored"    // and when it was stored, as RFC 3339
)

var marshaler = &wmnats.NATSMarshaler{}

// RequestSubscriber is a Watermill subscriber to requests on core NATS. Each request goes to
// one member of the queue group, at most once. The answer is the handler's business: its inbox
// is in MetaReply. The connection is not the subscriber's, which never closes it. Unreadable
// and Rejected are required.
type RequestSubscriber struct {
	Conn  *nats.Conn
	Queue string
	// InFlight bounds how many handlers run at once; 0 means 256.
	InFlight int
	// Unreadable is called with a request that is no Watermill message.
	Unreadable func(*nats.Msg, error)
	// Rejected is called with a message that is no request to the topic; see
	// natsauth.CheckRequest.
	Rejected func(*nats.Msg, error)

	once    sync.Once
	closing chan struct{}
	open    sync.WaitGroup
}

func (r *RequestSubscriber) init() { r.closing = make(chan struct{}) }

// Subscribe implements message.Subscriber; topic is the subject. When ctx ends or Close is
// called, no new requests are taken, and those that have arrived are still handed over.
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

// Close implements message.Subscriber. It returns when every request that has arrived is
// handed over, and may be called more than once.
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

// request is a request as a Watermill message.
func request(m *nats.Msg) (*message.Message, error) {
	msg, err := unmarshal(m)
	if err != nil {
		return nil, err
	}
	msg.Metadata.Set(MetaReply, m.Reply)
	return msg, nil
}

// unmarshal is Watermill's, and gives a message without an id one: its event's or command's
// id, or else a new one.
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
