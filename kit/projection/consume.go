package projection

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"lonja/kit/eventlog"
	"lonja/kit/natsauth"
)

const (
	batchSize      = 500  // most events in a transaction: larger ones gain little and delay the first event
	buildBatchSize = 2000 // the same during a build, where no reader waits for the first event
	// catchUpBatchSize is the same while at least as many events are left. Rows that are so late are
	// of little use to a reader, so all that counts is when they are at the end. A transaction
	// writes each page that it changes once, and rows with ids in no order change very many: with
	// this size a view gets on one and a half times to twice as fast as with batchSize. Larger ones gain a little more,
	// and take memory.
	catchUpBatchSize = 5000
	// buildPause is how long a build waits for a transaction to fill, and catchUpPause how long a
	// view that is behind does.
	buildPause   = 20 * time.Millisecond
	catchUpPause = 100 * time.Millisecond
	// buffered is how many messages may wait before and after they are decoded, each.
	buffered = 2 * buildBatchSize
)

// delivery is a message on its way into the rows.
type delivery struct {
	jetstream.Msg
	record  eventlog.Record
	number  uint64 // counts the consumer's deliveries
	pending uint64 // messages that the consumer has yet to deliver
}

// consume writes events into the rows until ctx ends or an error occurs. With recreate, it
// replaces an existing durable consumer.
func (c *consumer) consume(ctx context.Context, recreate bool) error {
	if err := c.verifyStream(ctx); err != nil {
		return err
	}
	cons, err := c.ensure(ctx, recreate)
	if err != nil {
		return err
	}
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	if c.db.building {
		defer c.deleteBuildConsumer(cons)
	}
	arrived, broken := make(chan delivery, buffered), make(chan error, 1)
	reconnected := c.db.config.JetStream.Conn().StatusChanged(nats.CONNECTED)
	defer c.db.config.JetStream.Conn().RemoveStatusListener(reconnected)
	consuming, err := cons.Consume(c.decode(ctx, cons.CachedInfo(), arrived), jetstream.PullMaxMessages(buffered),
		jetstream.PullExpiry(5*time.Second), jetstream.PullHeartbeat(time.Second), jetstream.ConsumeErrHandler(reportGone(broken)))
	if err != nil {
		return err
	}
	defer consuming.Stop()
	last := cons.CachedInfo().Delivered.Consumer
	if c.db.building && last > 0 {
		return fmt.Errorf("consumer %s has already delivered messages elsewhere", cons.CachedInfo().Name)
	}
	if c.db.building && cons.CachedInfo().NumPending == 0 {
		c.markCaughtUp()
	}
	for batch := []delivery(nil); ; {
		select {
		case d := <-arrived:
			batch = append(batch[:0], d)
		case err := <-broken:
			return err
		case <-reconnected:
			return errors.New("the connection was lost")
		case <-c.restart:
			return errStalled
		case <-ctx.Done():
			return nil
		}
		batch = c.fillBatch(ctx, batch, arrived)
		if last, err = c.apply(ctx, batch, last); err != nil {
			return err
		}
		if !c.db.building && cap(batch) > 2*batchSize { // the view was behind: do not keep the memory
			batch = nil
		}
	}
}

// isBehind reports whether so much is left after a delivery that large transactions are better.
func (c *consumer) isBehind(d delivery) bool { return !c.db.building && d.pending >= catchUpBatchSize }

// batchSize returns how many events a transaction may have that begins with a delivery.
func (c *consumer) batchSize(first delivery) int {
	switch {
	case c.db.building:
		return buildBatchSize
	case c.isBehind(first):
		return catchUpBatchSize
	}
	return batchSize
}

// decode returns a handler that decodes messages and passes them on. Decoding is half of
// the work and runs concurrently with the writing of rows.
func (c *consumer) decode(ctx context.Context, from *jetstream.ConsumerInfo, to chan<- delivery) jetstream.MessageHandler {
	return func(m jetstream.Msg) {
		meta, err := natsauth.CheckDelivery(m, from)
		if err != nil {
			c.db.config.Logger.Warn("a message that the consumer did not deliver was ignored", "consumer", from.Name, "reason", err)
			return
		}
		d := delivery{Msg: m, number: meta.Sequence.Consumer, pending: meta.NumPending,
			record: c.db.config.Log.Read(c.source.Stream, meta.Sequence.Stream, m.Subject(), m.Headers(), m.Data())}
		select {
		case to <- d:
		case <-ctx.Done():
		}
	}
}

// reportGone returns an error handler that reports the errors after which a consumer
// delivers nothing more.
func reportGone(broken chan<- error) func(jetstream.ConsumeContext, error) {
	return func(_ jetstream.ConsumeContext, err error) {
		if errors.Is(err, jetstream.ErrConsumerDeleted) || errors.Is(err, jetstream.ErrConsumerNotFound) || errors.Is(err, nats.ErrNoResponders) {
			select {
			case broken <- err:
			default:
			}
		}
	}
}

// fillBatch adds the deliveries that have arrived to a batch, and those that arrive until the
// pace allows the next transaction. A build, and a view that is far behind, wait briefly for more
// while more are pending, since large transactions are cheaper.
func (c *consumer) fillBatch(ctx context.Context, batch []delivery, arrived <-chan delivery) []delivery {
	size, patient := c.batchSize(batch[0]), c.db.building || c.isBehind(batch[0])
	until := c.pace.next(c.db.awaited())
	switch {
	case c.db.building:
		until = time.Now().Add(buildPause)
	case patient:
		until = time.Now().Add(catchUpPause)
	}
	var timeout <-chan time.Time // nil when what has arrived is enough
	if pause := time.Until(until); pause > 0 {
		timeout = time.After(pause)
	}
	for len(batch) < size {
		if len(arrived) == 0 && (timeout == nil || patient && batch[len(batch)-1].pending == 0) {
			return batch
		}
		select {
		case d := <-arrived:
			batch = append(batch, d)
		case <-c.hurry:
			if timeout != nil && !patient {
				timeout = time.After(time.Until(c.pace.next(true)))
			}
		case <-timeout:
			timeout = nil
		case <-ctx.Done():
			return batch
		}
	}
	return batch
}

// commitError is an error of the database, not of the stream.
type commitError struct{ error }

func (e *commitError) Unwrap() error { return e.error }

// apply commits a batch and then acknowledges it. It skips redelivered events by their
// sequence. A gap in the delivery numbers means that a message was lost on the way; it must
// not be acknowledged together with its successors, so apply returns an error. last is the
// number of the last delivery before the batch; apply returns that of the last one in it.
//
// At an event whose key cannot be had now, apply commits what is before it and returns an
// error. The consumer then starts again at that event.
func (c *consumer) apply(ctx context.Context, batch []delivery, last uint64) (uint64, error) {
	records := make([]eventlog.Record, 0, len(batch))
	for _, d := range batch {
		if d.number != last+1 {
			return last, fmt.Errorf("a delivery was missed: got number %d after %d", d.number, last)
		}
		last++
		if d.record.Sequence <= c.sequence || c.stopAt > 0 && d.record.Sequence > c.stopAt {
			continue
		}
		if d.record.Unavailable {
			return last, c.awaitKey(ctx, records, d.record)
		}
		if d.record.Event == nil && d.record.Sequence > c.deadLetteredTo {
			if err := c.db.config.DeadLetter(ctx, d.record); err != nil {
				return last, fmt.Errorf("dead letter: %w", err)
			}
		}
		records = append(records, d.record)
	}
	if len(records) > 0 {
		if err := c.commit(ctx, records); err != nil {
			return last, err
		}
	}
	end := batch[len(batch)-1]
	if !c.db.building {
		return last, end.Ack()
	}
	if end.pending == 0 || c.stopAt > 0 && end.record.Sequence >= c.stopAt {
		c.markCaughtUp()
	}
	return last, nil
}

// commit commits the rows of events once these are synced: rows must not outlive them.
func (c *consumer) commit(ctx context.Context, records []eventlog.Record) error {
	if c.stopAt == 0 { // the rows of a replay are thrown away
		if err := c.db.config.Log.AwaitSync(ctx, c.source.Stream, records[len(records)-1].Sequence); err != nil {
			return err
		}
	}
	began := time.Now()
	if err := c.db.commit(c, records); err != nil {
		return &commitError{err}
	}
	c.pace.committed(began, time.Now(), records)
	return nil
}

// awaitKey commits the records before one whose key cannot be had now, and returns the reason.
func (c *consumer) awaitKey(ctx context.Context, before []eventlog.Record, r eventlog.Record) error {
	if len(before) > 0 {
		if err := c.commit(ctx, before); err != nil {
			return err
		}
	}
	c.keyless.Store(true)
	return fmt.Errorf("%w at %s: %w", errKeyless, eventlog.Position(r.Stream, r.Sequence), r.Err)
}

// markCaughtUp records that a build has read every event that there was.
func (c *consumer) markCaughtUp() {
	select {
	case <-c.caughtUp:
	default:
		close(c.caughtUp)
	}
}
