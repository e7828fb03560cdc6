package bus

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"strconv"
	"sync"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"lonja/kit/natsauth"
)

// StreamSubscriber is a Watermill subscriber to a shared durable consumer of JetStream.
//
// JetStream, Consumer, Logger and Unreadable are required.
//
// Several messages are in flight at once, in any order. A message is acknowledged when its
// handler acks it. When the handler nacks it, it is delivered again after a delay that
// grows from 50 ms to 30 s. Delivery is at least once: a handler must expect duplicates.
// The connection is not the subscriber's, which never closes it.
type StreamSubscriber struct {
	JetStream jetstream.JetStream
	// Consumer looks the consumer up, and creates it again when it has been deleted.
	Consumer func(context.Context) (jetstream.Consumer, error)
	Logger   *slog.Logger
	// InFlight bounds how many handlers run at once; 0 means 8. That keeps a stream busy,
	// and leaves room for requests, whose callers wait for an answer.
	InFlight int
	// Timeout is how long a handler may take; 0 means 10 seconds. Within that time its
	// message is delivered to nobody else. A handler that takes longer is stuck: it keeps
	// its place, its message goes to another replica, and it does not count as progress.
	Timeout time.Duration
	// Group is the consumer's priority group, "" when it has none.
	Group string
	// Unreadable stores a message that is no Watermill message elsewhere. When it returns
	// nil, the message is terminated and never delivered again.
	Unreadable func(context.Context, jetstream.Msg, error) error

	once     sync.Once
	closing  chan struct{}
	open     sync.WaitGroup
	slots    chan struct{} // one for each handler that runs, whichever consumption it is of
	inFlight *inFlight
	health   consumerHealth
}

func (s *StreamSubscriber) init() { s.closing = make(chan struct{}) }

// Subscribe implements message.Subscriber. It is called once. The messages are those of
// the consumer; topic only names them in the log. When ctx ends or Close is called, no more
// messages are asked for, and those that have arrived are still handed over. A consumer
// that is deleted meanwhile is created again.
func (s *StreamSubscriber) Subscribe(ctx context.Context, topic string) (<-chan *message.Message, error) {
	s.once.Do(s.init)
	s.InFlight = cmp.Or(s.InFlight, 8)
	s.Timeout = cmp.Or(s.Timeout, 10*time.Second)
	s.slots = make(chan struct{}, s.InFlight)
	s.inFlight = newInFlight(s.Timeout, s.InFlight)
	out := make(chan *message.Message)
	s.open.Go(func() {
		defer close(out)
		ctx, stop := context.WithCancel(ctx)
		defer stop()
		go func() {
			select {
			case <-s.closing:
				stop()
			case <-ctx.Done():
			}
		}()
		go s.inFlight.reportProgress(ctx)
		for wait := 50 * time.Millisecond; ctx.Err() == nil; wait = min(2*wait, 5*time.Second) {
			began := time.Now()
			if err := s.consume(ctx, out); err != nil && ctx.Err() == nil {
				s.Logger.Warn("consuming starts again", "consumer", topic, "reason", err)
			}
			if time.Since(began) > time.Minute {
				wait = 50 * time.Millisecond
			}
			select {
			case <-ctx.Done():
			case <-time.After(wait):
			}
		}
	})
	return out, nil
}

// prefetch is how many messages may wait for a handler. With fewer than 64 the client can
// stop pulling, and what waits here is not delivered to other replicas. The consumer's
// max_ack_pending bounds it, too.
const prefetch = 64

// consume hands messages over until ctx ends or the consumption breaks.
func (s *StreamSubscriber) consume(ctx context.Context, out chan<- *message.Message) error {
	cons, err := s.Consumer(ctx)
	if err != nil {
		s.health.record(ctx.Err() != nil, nil)
		return err
	}
	s.inFlight.setAckWait(cons.CachedInfo().Config.AckWait)
	broken := make(chan error, 1)
	waiting := make(chan arrival, prefetch)
	var seen activity
	monitoring, stopMonitoring := context.WithCancel(ctx)
	defer stopMonitoring()
	var background sync.WaitGroup
	background.Go(func() { s.dispatch(out, waiting) })
	background.Go(func() { s.monitor(monitoring, cons, &seen, broken) })
	consuming, err := cons.Consume(func(m jetstream.Msg) {
		meta, err := natsauth.CheckDelivery(m, cons.CachedInfo())
		if err != nil {
			s.Logger.Warn("a message that the consumer did not deliver was rejected", "consumer", cons.CachedInfo().Name, "reason", err)
			return
		}
		seen.received.Add(1)
		msg, err := streamMessage(m, meta)
		if err != nil {
			s.discard(ctx, m, err)
			return
		}
		s.inFlight.add(m)
		waiting <- arrival{msg, m}
	}, s.pullOptions(seen.onError(broken))...)
	if err == nil {
		select {
		case <-ctx.Done():
		case err = <-broken:
		}
		consuming.Drain()
		<-consuming.Closed()
	}
	close(waiting)
	stopMonitoring()
	background.Wait()
	if s.Group != "" {
		err = errors.Join(err, s.unpin(context.WithoutCancel(ctx), cons.CachedInfo()))
	}
	return err
}

// arrival is a message on its way to a handler.
type arrival struct {
	msg *message.Message
	raw jetstream.Msg
}

// dispatch hands waiting messages over as handlers become free.
func (s *StreamSubscriber) dispatch(out chan<- *message.Message, waiting <-chan arrival) {
	for next := range waiting {
		s.slots <- struct{}{}
		s.inFlight.start(next.raw)
		out <- next.msg
		go func() {
			s.settle(next.msg, next.raw)
			s.inFlight.remove(next.raw)
			<-s.slots
		}()
	}
}

// pullOptions says how messages are asked for. A member of a priority group stays pinned
// by asking again before the priority_timeout. That is short, so that a replica that died
// is not pinned for long.
func (s *StreamSubscriber) pullOptions(failed func(jetstream.ConsumeContext, error)) []jetstream.PullConsumeOpt {
	options := []jetstream.PullConsumeOpt{jetstream.PullMaxMessages(max(prefetch, s.InFlight)), jetstream.ConsumeErrHandler(failed)}
	if s.Group == "" {
		return append(options, jetstream.PullExpiry(5*time.Second), jetstream.PullHeartbeat(time.Second))
	}
	return append(options, jetstream.PullExpiry(time.Second), jetstream.PullHeartbeat(500*time.Millisecond), jetstream.PullPriorityGroup(s.Group))
}

// unpin lets another member of the group take over at once. Otherwise it would wait until
// the server notices that this one is gone.
func (s *StreamSubscriber) unpin(ctx context.Context, info *jetstream.ConsumerInfo) error {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	stream, err := s.JetStream.Stream(ctx, info.Stream)
	if err != nil {
		return err
	}
	return stream.UnpinConsumer(ctx, info.Name, s.Group)
}

// settle waits for the handler, then acknowledges its message or asks for it again.
func (s *StreamSubscriber) settle(msg *message.Message, m jetstream.Msg) {
	var err error
	select {
	case <-msg.Acked():
		err = m.Ack()
	case <-msg.Nacked():
		delivered, _ := strconv.Atoi(msg.Metadata.Get(MetaDelivered))
		err = m.NakWithDelay(RedeliveryDelay(delivered))
	}
	if err != nil {
		// The message is delivered again, which is harmless.
		s.Logger.Debug("a message was not settled", "subject", m.Subject(), "reason", err)
	}
}

// RedeliveryDelay returns how long to wait before the next delivery of a message that failed:
// 50 ms at first, twice as long each time, 30 s at most.
func RedeliveryDelay(delivered int) time.Duration {
	return min(50*time.Millisecond<<min(max(delivered-1, 0), 10), 30*time.Second)
}

// discard stores an unreadable message elsewhere and terminates it.
func (s *StreamSubscriber) discard(ctx context.Context, m jetstream.Msg, reason error) {
	if err := s.Unreadable(ctx, m, reason); err != nil {
		s.Logger.Warn("an unreadable message could not be stored as a dead letter; it is tried again in a second", "subject", m.Subject(), "reason", err)
		_ = m.NakWithDelay(time.Second)
		return
	}
	_ = m.TermWithReason(reason.Error())
}

// Close implements message.Subscriber. It returns when every message that has arrived is
// handed over, and may be called more than once.
func (s *StreamSubscriber) Close() error {
	s.once.Do(s.init)
	select {
	case <-s.closing:
	default:
		close(s.closing)
	}
	s.open.Wait()
	return nil
}

// streamMessage is a message of JetStream as one of Watermill's.
func streamMessage(m jetstream.Msg, meta *jetstream.MsgMetadata) (*message.Message, error) {
	msg, err := unmarshal(&nats.Msg{Subject: m.Subject(), Header: m.Headers(), Data: m.Data()})
	if err != nil {
		return nil, err
	}
	msg.Metadata.Set(MetaStream, meta.Stream)
	msg.Metadata.Set(MetaSequence, strconv.FormatUint(meta.Sequence.Stream, 10))
	msg.Metadata.Set(MetaDelivered, strconv.FormatUint(meta.NumDelivered, 10))
	msg.Metadata.Set(MetaStored, meta.Timestamp.UTC().Format(time.RFC3339Nano))
	return msg, nil
}
