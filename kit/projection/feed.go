package projection

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"lonja/kit/eventlog"
	"lonja/kit/natsauth"
)

const (
	batchSize  = 500  // events in one transaction at most: more gain little and delay the first
	buildBatch = 2000 // the same during a build, where nobody waits for the first
	// inactive is how long the consumer of a replica that is gone is kept.
	inactive = 7 * 24 * time.Hour
	// buildIdle is how long the consumer of a build that is gone is kept.
	buildIdle = time.Minute
)

// feed brings one stream's events to a file: by the replica's durable consumer,
// or, to a file that is being built, by one of its own.
type feed struct {
	file   *file
	source Source

	created  string // when the stream was
	sequence uint64 // of the last event in the rows
	event    string // its id
	told     uint64 // what is no event and no later than this is in the dead letters already

	reached  atomic.Uint64 // how far the rows are known to stand, for whoever asks
	partial  atomic.Bool   // not all of the stream is read
	consumer atomic.Pointer[jetstream.Consumer]
	end      atomic.Pointer[end] // of the stream, when it was last asked for
	looking  sync.Mutex
	looked   time.Time // when the stream was last asked; inside looking

	still atomic.Bool   // the rows do not follow the stream; see oversee
	again chan struct{} // tells a feed that waits in vain to begin again
	free  uint64        // inside oversee: up to here nothing that is read comes after the rows

	caughtUp chan struct{} // of a build: closed when nothing is left
	until    uint64        // of a replay: the last that is read
}

func newFeed(f *file, src Source) *feed {
	return &feed{file: f, source: src, again: make(chan struct{}), caughtUp: make(chan struct{})}
}

// reach tells that the rows hold all that is read of the stream up to seq, and
// which keys were touched on the way; those of a build nobody sees yet.
func (f *feed) reach(seq uint64, touched ...Touch) {
	if seq > f.reached.Load() {
		f.reached.Store(seq)
		f.still.Store(false)
	}
	if f.file.building {
		touched = nil
	}
	f.file.moved(touched)
}

// feeding is a file being fed.
type feeding struct {
	file  *file
	ended chan error // why a feed cannot go on
	stop  func()     // stops and waits
}

func (f *file) feed(ctx context.Context) *feeding {
	ctx, cancel := context.WithCancel(ctx)
	var running sync.WaitGroup
	fed := &feeding{file: f, ended: make(chan error, len(f.feeds))}
	fed.stop = func() { cancel(); running.Wait() }
	for _, one := range f.feeds {
		running.Go(func() { one.oversee(ctx) })
		running.Go(func() {
			if err := one.run(ctx); err != nil && ctx.Err() == nil {
				fed.ended <- fmt.Errorf("stream %s: %w", one.source.Stream, err)
			}
		})
	}
	return fed
}

// run consumes until ctx ends. A missed delivery, a deleted consumer, a full disk
// and deliveries that do not come are healed by starting again from the
// checkpoint. A bug in the projection, a damaged file and a log that lost events
// are not, nor is a file that cannot be built: those end it.
func (f *feed) run(ctx context.Context) error {
	inVain := 0 // how often it waited so since the rows moved
	for wait := 50 * time.Millisecond; ctx.Err() == nil; {
		progress := f.sequence
		err := f.consume(ctx, inVain > 1)
		var wrong *bug
		var full *commitError
		switch {
		case ctx.Err() != nil:
			return nil
		case errors.As(err, &wrong), damaged(err), errors.Is(err, ErrLost), f.file.building && errors.As(err, &full):
			return err
		}
		f.file.config.Logger.Warn("view feed starts again from its checkpoint",
			"view", f.file.def.Name, "stream", f.source.Stream, "sequence", f.sequence, "reason", err)
		if f.sequence > progress {
			wait, inVain = 50*time.Millisecond, 0
		}
		if errors.Is(err, errStalled) {
			inVain++
			f.revive(inVain)
		}
		select {
		case <-ctx.Done():
		case <-time.After(wait):
		}
		wait = min(2*wait, 5*time.Second)
	}
	return nil
}

// delivery is a message on its way into the rows. Number counts the consumer's
// deliveries, pending is how many it still had.
type delivery struct {
	jetstream.Msg
	fact            eventlog.Record
	number, pending uint64
}

// consume brings what there is until ctx ends or something is wrong. Anew says
// that the consumer there is does not do.
func (f *feed) consume(ctx context.Context, anew bool) error {
	if err := f.verify(ctx); err != nil {
		return err
	}
	cons, err := f.stand(ctx, anew)
	if err != nil {
		return err
	}
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	if f.file.building {
		defer f.forget(cons)
	}
	size := f.batch()
	arrived, broken := make(chan delivery, 2*size), make(chan error, 1)
	back := f.file.config.JetStream.Conn().StatusChanged(nats.CONNECTED)
	defer f.file.config.JetStream.Conn().RemoveStatusListener(back)
	consuming, err := cons.Consume(f.read(ctx, cons.CachedInfo(), arrived), jetstream.PullMaxMessages(2*size),
		jetstream.PullExpiry(5*time.Second), jetstream.PullHeartbeat(time.Second), jetstream.ConsumeErrHandler(goneTo(broken)))
	if err != nil {
		return err
	}
	defer consuming.Stop()
	last := cons.CachedInfo().Delivered.Consumer
	if f.file.building && last > 0 {
		return fmt.Errorf("consumer %s has delivered to somebody else", cons.CachedInfo().Name)
	}
	if f.file.building && cons.CachedInfo().NumPending == 0 {
		f.done()
	}
	for batch := make([]delivery, 0, size); ; {
		select {
		case d := <-arrived:
			batch = append(batch[:0], d)
		case err := <-broken:
			return err
		case <-back:
			return errors.New("the connection was lost")
		case <-f.again:
			return errStalled
		case <-ctx.Done():
			return nil
		}
		batch = f.fill(ctx, batch, arrived)
		if last, err = f.apply(ctx, batch, last); err != nil {
			return err
		}
	}
}

func (f *feed) batch() int {
	if f.file.building {
		return buildBatch
	}
	return batchSize
}

// read decodes what a consumer delivers. That is half of the work, and goes on
// beside the writing of rows.
func (f *feed) read(ctx context.Context, from *jetstream.ConsumerInfo, to chan<- delivery) jetstream.MessageHandler {
	return func(m jetstream.Msg) {
		meta, err := natsauth.CheckDelivery(m, from)
		if err != nil {
			f.file.config.Logger.Warn("a message that the consumer did not bring was refused", "consumer", from.Name, "reason", err)
			return
		}
		d := delivery{Msg: m, number: meta.Sequence.Consumer, pending: meta.NumPending,
			fact: f.file.config.Log.Read(f.source.Stream, meta.Sequence.Stream, m.Subject(), m.Headers(), m.Data())}
		select {
		case to <- d:
		case <-ctx.Done():
		}
	}
}

// goneTo tells of the errors after which a consumer delivers no more.
func goneTo(broken chan<- error) func(jetstream.ConsumeContext, error) {
	return func(_ jetstream.ConsumeContext, err error) {
		if errors.Is(err, jetstream.ErrConsumerDeleted) || errors.Is(err, jetstream.ErrConsumerNotFound) || errors.Is(err, nats.ErrNoResponders) {
			select {
			case broken <- err:
			default:
			}
		}
	}
}

// fill adds what has arrived to a batch. A build waits a little for more, as
// long as there is more: large transactions are cheaper.
func (f *feed) fill(ctx context.Context, batch []delivery, arrived <-chan delivery) []delivery {
	var patience <-chan time.Time
	if f.file.building {
		patience = time.After(20 * time.Millisecond)
	}
	for len(batch) < cap(batch) {
		if len(arrived) == 0 && (patience == nil || batch[len(batch)-1].pending == 0) {
			return batch
		}
		select {
		case d := <-arrived:
			batch = append(batch, d)
		case <-patience:
			return batch
		case <-ctx.Done():
			return batch
		}
	}
	return batch
}

// commitError is one of the file, not of the log.
type commitError struct{ error }

func (e *commitError) Unwrap() error { return e.error }

// apply puts a batch into the rows and acknowledges it. A delivery's number
// that is skipped is a message that was lost on its way and must not be
// acknowledged with its followers.
func (f *feed) apply(ctx context.Context, batch []delivery, last uint64) (uint64, error) {
	facts := make([]eventlog.Record, 0, len(batch))
	for _, d := range batch {
		if d.number != last+1 {
			return last, fmt.Errorf("a delivery was missed: got %d after %d", d.number, last)
		}
		last++
		if d.fact.Sequence <= f.sequence || f.until > 0 && d.fact.Sequence > f.until {
			continue
		}
		if d.fact.Event == nil && d.fact.Sequence > f.told {
			if err := f.file.config.DeadLetter(ctx, d.fact); err != nil {
				return last, fmt.Errorf("dead letter: %w", err)
			}
		}
		facts = append(facts, d.fact)
	}
	if len(facts) > 0 {
		if err := f.file.commit(ctx, f, facts); err != nil {
			return last, &commitError{err}
		}
	}
	end := batch[len(batch)-1]
	if !f.file.building {
		return last, end.Ack()
	}
	if end.pending == 0 || f.until > 0 && end.fact.Sequence >= f.until {
		f.done()
	}
	return last, nil
}

// done tells that a build has seen all that there is.
func (f *feed) done() {
	select {
	case <-f.caughtUp:
	default:
		close(f.caughtUp)
	}
}

// stand finds the consumer standing at the checkpoint, or makes it: also when
// the one there is gives no answer, or is to be made anew.
func (f *feed) stand(ctx context.Context, anew bool) (cons jetstream.Consumer, err error) {
	defer func() {
		if err == nil {
			f.consumer.Store(&cons)
		}
	}()
	js, config := f.file.config.JetStream, f.consumerConfig()
	if f.file.building {
		// One that was there before would have delivered to somebody else, so its
		// name is a fresh one.
		return js.CreateConsumer(ctx, f.source.Stream, config)
	}
	if !anew {
		cons, err = js.Consumer(ctx, f.source.Stream, config.Durable)
	}
	if !anew && err == nil {
		info := cons.CachedInfo()
		if info.NumAckPending == 0 && info.Delivered.Stream == f.sequence && slices.Equal(subjects(info.Config), f.source.Subjects) {
			return cons, nil
		}
	}
	if !errors.Is(err, jetstream.ErrConsumerNotFound) {
		if err := js.DeleteConsumer(ctx, f.source.Stream, config.Durable); err != nil && !errors.Is(err, jetstream.ErrConsumerNotFound) {
			return nil, err
		}
	}
	return js.CreateConsumer(ctx, f.source.Stream, config)
}

// forget deletes the consumer of a build. One that is left is gone within a minute.
func (f *feed) forget(cons jetstream.Consumer) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	if err := f.file.config.JetStream.DeleteConsumer(ctx, f.source.Stream, cons.CachedInfo().Name); err != nil {
		f.file.config.Logger.Debug("the consumer of a build was not deleted", "view", f.file.def.Name, "reason", err)
	}
}

func (f *feed) consumerConfig() jetstream.ConsumerConfig {
	c := jetstream.ConsumerConfig{
		Description:    "feeds the view " + f.file.def.Name,
		FilterSubjects: f.source.Subjects,
		DeliverPolicy:  jetstream.DeliverByStartSequencePolicy,
		OptStartSeq:    f.sequence + 1,
	}
	if f.file.building {
		c.Name = f.durable() + "-build-" + eventlog.NewID()
		c.Description, c.AckPolicy = "builds the view "+f.file.def.Name, jetstream.AckNonePolicy
		c.InactiveThreshold, c.MemoryStorage, c.Replicas = buildIdle, true, 1
		return c
	}
	c.Durable = f.durable()
	// Where the rows stand is in their file; the server need not write it to
	// its disk as well, and sync that. A consumer that it forgot is made again.
	c.MemoryStorage, c.InactiveThreshold = true, inactive
	// A redelivery is passed over, so a lost acknowledgement costs nothing but
	// the time until it is noticed.
	c.AckPolicy, c.AckWait, c.MaxAckPending = jetstream.AckAllPolicy, 12*time.Second, 4*batchSize
	return c
}

// durable is the durable consumer's name. The service's and replica's names are
// in the prefix, so an operator sees whose lag it is.
func (f *feed) durable() string {
	return strings.TrimPrefix(strings.Join([]string{f.file.config.Consumer, f.file.def.Name, strings.ToLower(f.source.Stream)}, "-"), "-")
}

func subjects(c jetstream.ConsumerConfig) []string {
	if c.FilterSubject != "" {
		return []string{c.FilterSubject}
	}
	return c.FilterSubjects
}

// lag is how many events the rows are behind the stream, at most.
func (f *feed) lag(ctx context.Context) (uint64, error) {
	if cons := f.consumer.Load(); cons != nil {
		info, err := (*cons).Info(ctx)
		if err == nil {
			return info.NumPending + uint64(info.NumAckPending), nil
		}
		if !errors.Is(err, jetstream.ErrConsumerNotFound) {
			return 0, err
		}
	}
	stream, err := f.file.config.JetStream.Stream(ctx, f.source.Stream)
	if err != nil {
		return 0, fmt.Errorf("stream %s: %w", f.source.Stream, err)
	}
	return stream.CachedInfo().State.LastSeq - min(f.reached.Load(), stream.CachedInfo().State.LastSeq), nil
}
