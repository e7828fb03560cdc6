package view

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"lonja/internal/eventlog"
)

const (
	batchSize  = 500  // facts in one transaction at most: more gain little and delay the first
	bufferSize = 1000 // messages on their way to a view
	// inactive is how long the consumer of a replica that is gone is kept.
	inactive = 7 * 24 * time.Hour
)

// feed brings one stream's facts to a view.
type feed struct {
	view     *View
	source   Source
	stream   jetstream.Stream
	created  string
	sequence uint64 // of the last fact in the rows
}

func (f *feed) open(ctx context.Context) error {
	var err error
	if f.stream, err = f.view.config.JetStream.Stream(ctx, f.source.Stream); err != nil {
		return fmt.Errorf("stream %s: %w", f.source.Stream, err)
	}
	f.created = f.stream.CachedInfo().Created.UTC().Format(time.RFC3339Nano)
	if err := f.verifyCheckpoint(ctx); err != nil {
		return err
	}
	f.view.reached(f.source.Stream, f.sequence)
	return nil
}

// verifyCheckpoint makes sure that the log is the one that the rows were made
// of, and holds at least as much.
func (f *feed) verifyCheckpoint(ctx context.Context) error {
	var created, event string
	err := f.view.conn.QueryRowContext(ctx,
		"SELECT created, sequence, event FROM checkpoint WHERE stream = ?", f.source.Stream).Scan(&created, &f.sequence, &event)
	if errors.Is(err, sql.ErrNoRows) {
		return nil
	}
	if err != nil {
		return err
	}
	if created != f.created {
		return fmt.Errorf("stream %s is another one than the view was made of (created %s, not %s): facts may be lost; restore the stream, or rebuild the view if this is meant",
			f.source.Stream, f.created, created)
	}
	if last := f.stream.CachedInfo().State.LastSeq; last < f.sequence {
		return fmt.Errorf("stream %s ends at %d, before the view's checkpoint %d: facts are lost; restore the stream",
			f.source.Stream, last, f.sequence)
	}
	at, err := f.view.config.Log.At(ctx, f.source.Stream, f.sequence)
	if err != nil {
		return fmt.Errorf("stream %s: the fact at the view's checkpoint %d cannot be read: %w", f.source.Stream, f.sequence, err)
	}
	if at.ID != event {
		return fmt.Errorf("stream %s holds %q at %d where the view saw %q: the log was changed; restore the stream",
			f.source.Stream, at.ID, f.sequence, event)
	}
	return nil
}

var errGap = errors.New("a delivery was missed")

// run consumes until ctx ends. A missed delivery or a deleted consumer is
// healed by starting again from the checkpoint; a bug in the projection is not.
func (f *feed) run(ctx context.Context) error {
	for wait := 50 * time.Millisecond; ctx.Err() == nil; {
		progress := f.sequence
		err := f.consume(ctx)
		if ctx.Err() != nil {
			return nil
		}
		var bug *projectionError
		if errors.As(err, &bug) {
			return err
		}
		f.view.config.Logger.Warn("view feed starts again from its checkpoint",
			"view", f.view.def.Name, "stream", f.source.Stream, "sequence", f.sequence, "reason", err)
		if f.sequence > progress {
			wait = 50 * time.Millisecond
		}
		select {
		case <-ctx.Done():
		case <-time.After(wait):
		}
		wait = min(2*wait, 5*time.Second)
	}
	return nil
}

// consumer is the replica's durable consumer, standing at the checkpoint.
func (f *feed) consumer(ctx context.Context) (jetstream.Consumer, error) {
	name := f.view.consumerName(f.source.Stream)
	cons, err := f.stream.Consumer(ctx, name)
	if err == nil {
		info := cons.CachedInfo()
		if info.NumAckPending == 0 && info.Delivered.Stream == f.sequence && slices.Equal(subjects(info.Config), f.source.Subjects) {
			return cons, nil
		}
		if err := f.stream.DeleteConsumer(ctx, name); err != nil && !errors.Is(err, jetstream.ErrConsumerNotFound) {
			return nil, err
		}
	} else if !errors.Is(err, jetstream.ErrConsumerNotFound) {
		return nil, err
	}
	return f.stream.CreateConsumer(ctx, jetstream.ConsumerConfig{
		Durable:           name,
		Description:       "feeds the view " + f.view.def.Name,
		FilterSubjects:    f.source.Subjects,
		DeliverPolicy:     jetstream.DeliverByStartSequencePolicy,
		OptStartSeq:       f.sequence + 1,
		AckPolicy:         jetstream.AckAllPolicy,
		AckWait:           time.Minute,
		MaxAckPending:     2 * bufferSize,
		InactiveThreshold: inactive,
	})
}

func subjects(c jetstream.ConsumerConfig) []string {
	if c.FilterSubject != "" {
		return []string{c.FilterSubject}
	}
	return c.FilterSubjects
}

func (f *feed) consume(ctx context.Context) error {
	cons, err := f.consumer(ctx)
	if err != nil {
		return err
	}
	arrived := make(chan jetstream.Msg, bufferSize)
	broken := make(chan error, 1)
	consuming, err := cons.Consume(func(m jetstream.Msg) {
		select {
		case arrived <- m:
		case <-ctx.Done():
		}
	}, jetstream.PullMaxMessages(bufferSize), jetstream.PullExpiry(5*time.Second), jetstream.PullHeartbeat(time.Second),
		jetstream.ConsumeErrHandler(func(_ jetstream.ConsumeContext, err error) {
			if errors.Is(err, jetstream.ErrConsumerDeleted) || errors.Is(err, jetstream.ErrConsumerNotFound) || errors.Is(err, nats.ErrNoResponders) {
				select {
				case broken <- err:
				default:
				}
			}
		}))
	if err != nil {
		return err
	}
	defer consuming.Stop()
	delivered := cons.CachedInfo().Delivered.Consumer
	msgs := make([]jetstream.Msg, 0, batchSize)
	for {
		msgs = msgs[:0]
		select {
		case m := <-arrived:
			msgs = append(msgs, m)
		case err := <-broken:
			return err
		case <-ctx.Done():
			return nil
		}
		for len(msgs) < batchSize && len(arrived) > 0 {
			msgs = append(msgs, <-arrived)
		}
		if delivered, err = f.apply(ctx, msgs, delivered); err != nil {
			return err
		}
	}
}

// apply puts a batch into the rows and acknowledges it. Delivered counts the
// consumer's deliveries: a number that is skipped is a message that was lost
// on its way and must not be acknowledged with its followers.
func (f *feed) apply(ctx context.Context, msgs []jetstream.Msg, delivered uint64) (uint64, error) {
	facts := make([]eventlog.Recorded, 0, len(msgs))
	for _, m := range msgs {
		meta, err := m.Metadata()
		if err != nil {
			return delivered, err
		}
		if meta.Sequence.Consumer != delivered+1 {
			return delivered, fmt.Errorf("%w: got %d after %d", errGap, meta.Sequence.Consumer, delivered)
		}
		delivered++
		if meta.Sequence.Stream <= f.sequence {
			continue
		}
		fact := f.view.config.Log.Read(f.source.Stream, meta.Sequence.Stream, m.Subject(), m.Headers(), m.Data())
		if fact.Event == nil {
			if err := f.view.config.DeadLetter(ctx, fact); err != nil {
				return delivered, fmt.Errorf("dead letter: %w", err)
			}
		}
		facts = append(facts, fact)
	}
	if len(facts) > 0 {
		if err := f.commit(ctx, facts); err != nil {
			return delivered, err
		}
	}
	return delivered, msgs[len(msgs)-1].Ack()
}

// projectionError is a bug: the same fact would fail again.
type projectionError struct {
	fact eventlog.Recorded
	err  error
}

func (e *projectionError) Error() string {
	return fmt.Sprintf("cannot project %s at %s:%d: %v", e.fact.Type, e.fact.Stream, e.fact.Sequence, e.err)
}
func (e *projectionError) Unwrap() error { return e.err }

func (f *feed) commit(ctx context.Context, facts []eventlog.Recorded) (err error) {
	v := f.view
	v.write.Lock()
	defer v.write.Unlock()
	tx := v.tx(ctx)
	if err := tx.Exec("BEGIN IMMEDIATE"); err != nil {
		return err
	}
	defer func() {
		if err != nil {
			_, rollback := v.conn.ExecContext(context.WithoutCancel(ctx), "ROLLBACK")
			err = errors.Join(err, rollback)
		}
	}()
	for _, fact := range facts {
		if fact.Event == nil {
			continue
		}
		if err := project(v.def.Project, tx, fact); err != nil {
			return err
		}
		if v.def.Wishes {
			if err := tx.Exec(`INSERT OR IGNORE INTO wishes (id, entity) VALUES (?, ?)`, fact.Causation, fact.Event.EntityID()); err != nil {
				return err
			}
		}
	}
	last := facts[len(facts)-1]
	if err := tx.Exec(`INSERT INTO checkpoint (stream, created, sequence, event) VALUES (?, ?, ?, ?)
		ON CONFLICT (stream) DO UPDATE SET created = excluded.created, sequence = excluded.sequence, event = excluded.event`,
		last.Stream, f.created, last.Sequence, last.ID); err != nil {
		return err
	}
	if err := tx.Exec("COMMIT"); err != nil {
		return err
	}
	f.sequence = last.Sequence
	v.reached(f.source.Stream, last.Sequence)
	return nil
}

func project(p func(*Tx, eventlog.Recorded) error, tx *Tx, fact eventlog.Recorded) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("panic: %v", r)
		}
		if err == nil {
			err = tx.err
		}
		if err != nil && !transient(err) {
			err = &projectionError{fact, err}
		}
	}()
	return p(tx, fact)
}

// lag is how many facts the rows are behind the stream.
func (f *feed) lag(ctx context.Context) (uint64, error) {
	cons, err := f.stream.Consumer(ctx, f.view.consumerName(f.source.Stream))
	if err != nil {
		return 0, err
	}
	info := cons.CachedInfo()
	return info.NumPending + uint64(info.NumAckPending), nil
}
