package bus

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"lonja/kit/natsauth"
	"strconv"
	"sync"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// Events subscribes to a shared durable consumer. Several messages are in
// flight at once, in no order; each is acknowledged when its handler is done
// and delivered again, later each time, when its handler fails.
type StreamSubscriber struct {
	JetStream jetstream.JetStream
	// Consumer looks the consumer up, and makes it again when it is gone.
	Consumer func(context.Context) (jetstream.Consumer, error)
	Logger   *slog.Logger
	// InFlight bounds how many messages are worked on at once; 0 means 8: enough
	// to keep a stream busy, and few enough that what reacts in the background
	// does not crowd out those who wait for an answer.
	InFlight int
	// Timeout is how long a handler may take; 0 means 10 seconds. As long as it
	// takes no longer, its message is delivered to nobody else.
	Timeout time.Duration
	// Group is the priority group to pull for, when the consumer has one.
	Group string
	// Unreadable keeps a message that is no Watermill message somewhere else.
	// When it returns nil the message is never seen again.
	Unreadable func(context.Context, jetstream.Msg, error) error

	once     sync.Once
	closing  chan struct{}
	open     sync.WaitGroup
	standing standing
}

func (f *StreamSubscriber) init() { f.closing = make(chan struct{}) }

// Subscribe implements message.Subscriber; the consumer says what is
// subscribed to, the topic is only its name. Cancelling ctx or Close stops
// pulling; what has arrived is still handed over. A consumer that is deleted
// meanwhile is made again.
func (f *StreamSubscriber) Subscribe(ctx context.Context, topic string) (<-chan *message.Message, error) {
	f.once.Do(f.init)
	f.InFlight = cmp.Or(f.InFlight, 8)
	f.Timeout = cmp.Or(f.Timeout, 10*time.Second)
	out := make(chan *message.Message)
	f.open.Go(func() {
		defer close(out)
		ctx, stop := context.WithCancel(ctx)
		defer stop()
		go func() {
			select {
			case <-f.closing:
				stop()
			case <-ctx.Done():
			}
		}()
		for wait := 50 * time.Millisecond; ctx.Err() == nil; wait = min(2*wait, 5*time.Second) {
			began := time.Now()
			if err := f.consume(ctx, out); err != nil && ctx.Err() == nil {
				f.Logger.Warn("consumer is taken up again", "consumer", topic, "reason", err)
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

// prefetch is how many messages may wait for a handler: fewer than 64 can stop
// the client's pulling, and what waits here others cannot work on. The consumer's
// max_ack_pending bounds it, too.
const prefetch = 64

// consume hands messages over until ctx ends or the consumer is gone.
func (f *StreamSubscriber) consume(ctx context.Context, out chan<- *message.Message) error {
	cons, err := f.Consumer(ctx)
	if err != nil {
		f.standing.note(ctx.Err() != nil, nil)
		return err
	}
	broken := make(chan error, 1)
	hands := newInFlight(f.Timeout, f.InFlight)
	vouching, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	go hands.vouch(vouching, min(vouchEvery, cons.CachedInfo().Config.AckWait/4))
	waiting := make(chan arrival, prefetch)
	var seen signs
	overseeing, stopOverseeing := context.WithCancel(ctx)
	var beside sync.WaitGroup
	beside.Go(func() { f.hand(out, waiting, hands) })
	beside.Go(func() { f.oversee(overseeing, cons, &seen, hands, broken) })
	consuming, err := cons.Consume(func(m jetstream.Msg) {
		meta, err := natsauth.CheckDelivery(m, cons.CachedInfo())
		if err != nil {
			f.Logger.Warn("a message that the consumer did not bring was refused", "consumer", cons.CachedInfo().Name, "reason", err)
			return
		}
		seen.arrived.Add(1)
		msg, err := fact(m, meta)
		if err != nil {
			f.discard(ctx, m, err)
			return
		}
		hands.take(m)
		waiting <- arrival{msg, m}
	}, f.pulling(seen.watch(broken))...)
	if err == nil {
		select {
		case <-ctx.Done():
		case err = <-broken:
		}
		consuming.Drain()
		<-consuming.Closed()
	}
	close(waiting)
	stopOverseeing()
	beside.Wait()
	if f.Group != "" {
		err = errors.Join(err, f.unpin(context.WithoutCancel(ctx), cons.CachedInfo()))
	}
	return err
}

// arrival is a message on its way to a handler.
type arrival struct {
	msg *message.Message
	raw jetstream.Msg
}

// hand hands over what waits, as handlers get free.
func (f *StreamSubscriber) hand(out chan<- *message.Message, waiting <-chan arrival, hands *inFlight) {
	slots := make(chan struct{}, f.InFlight)
	for next := range waiting {
		slots <- struct{}{}
		hands.begin(next.raw)
		out <- next.msg
		go func() {
			f.settle(next.msg, next.raw)
			hands.settled(next.raw)
			<-slots
		}()
	}
}

// pulling is how messages are asked for. A group's place is held by asking for
// more before its priority_timeout, which is short so that a replica that died
// does not hold it for long.
func (f *StreamSubscriber) pulling(failed func(jetstream.ConsumeContext, error)) []jetstream.PullConsumeOpt {
	options := []jetstream.PullConsumeOpt{jetstream.PullMaxMessages(max(prefetch, f.InFlight)), jetstream.ConsumeErrHandler(failed)}
	if f.Group == "" {
		return append(options, jetstream.PullExpiry(5*time.Second), jetstream.PullHeartbeat(time.Second))
	}
	return append(options, jetstream.PullExpiry(time.Second), jetstream.PullHeartbeat(500*time.Millisecond), jetstream.PullPriorityGroup(f.Group))
}

// unpin gives the group's place to another member at once, who would else wait
// until the server notices that this one is gone.
func (f *StreamSubscriber) unpin(ctx context.Context, info *jetstream.ConsumerInfo) error {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	stream, err := f.JetStream.Stream(ctx, info.Stream)
	if err != nil {
		return err
	}
	return stream.UnpinConsumer(ctx, info.Name, f.Group)
}

// settle tells JetStream what the handler said.
func (f *StreamSubscriber) settle(msg *message.Message, m jetstream.Msg) {
	var err error
	select {
	case <-msg.Acked():
		err = m.Ack()
	case <-msg.Nacked():
		delivered, _ := strconv.Atoi(msg.Metadata.Get(MetaDelivered))
		err = m.NakWithDelay(backoff(delivered))
	}
	if err != nil {
		// It will be delivered again, which changes nothing.
		f.Logger.Debug("not settled", "subject", m.Subject(), "reason", err)
	}
}

// backoff is how long a message that failed is left alone: 50 ms at first,
// twice as long each time, 30 s at most.
func backoff(delivered int) time.Duration {
	return min(50*time.Millisecond<<min(max(delivered-1, 0), 10), 30*time.Second)
}

func (f *StreamSubscriber) discard(ctx context.Context, m jetstream.Msg, reason error) {
	if err := f.Unreadable(ctx, m, reason); err != nil {
		f.Logger.Warn("an unreadable message could not be put aside; it will be tried again", "subject", m.Subject(), "reason", err)
		_ = m.NakWithDelay(time.Second)
		return
	}
	_ = m.TermWithReason(reason.Error())
}

// Close implements message.Subscriber: it waits until all is handed over.
func (f *StreamSubscriber) Close() error {
	f.once.Do(f.init)
	select {
	case <-f.closing:
	default:
		close(f.closing)
	}
	f.open.Wait()
	return nil
}

func fact(m jetstream.Msg, meta *jetstream.MsgMetadata) (*message.Message, error) {
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
