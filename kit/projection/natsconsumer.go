package projection

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"lonja/kit/eventlog"
)

const (
	// inactiveThreshold is how long the server keeps the durable consumer of a replica
	// that is gone.
	inactiveThreshold = 7 * 24 * time.Hour
	// buildInactiveThreshold is the same for the consumer of a build.
	buildInactiveThreshold = time.Minute
	// maxAckPending lets a transaction fill while as many messages as may wait are behind it, and
	// ackWait is long enough for them on a slow machine.
	maxAckPending = catchUpBatchSize + 3*buffered
	ackWait       = 30 * time.Second
)

// ensure returns a consumer on the server that is at the checkpoint. It creates one when
// there is none. It replaces one that is at another place, was created by an earlier version, or
// does not answer, and with recreate any one.
func (c *consumer) ensure(ctx context.Context, recreate bool) (cons jetstream.Consumer, err error) {
	defer func() {
		if err == nil {
			c.nats.Store(&cons)
		}
	}()
	js, config := c.db.config.JetStream, c.consumerConfig()
	if c.db.building {
		// An existing consumer would already have delivered messages elsewhere, so the
		// name is a new one each time.
		return js.CreateConsumer(ctx, c.source.Stream, config)
	}
	if !recreate {
		cons, err = js.Consumer(ctx, c.source.Stream, config.Durable)
	}
	if !recreate && err == nil {
		info := cons.CachedInfo()
		if info.NumAckPending == 0 && info.Delivered.Stream == c.sequence && info.Config.MaxAckPending == maxAckPending &&
			slices.Equal(filterSubjects(info.Config), c.source.Subjects) {
			return cons, nil
		}
	}
	if !errors.Is(err, jetstream.ErrConsumerNotFound) {
		if err := js.DeleteConsumer(ctx, c.source.Stream, config.Durable); err != nil && !errors.Is(err, jetstream.ErrConsumerNotFound) {
			return nil, err
		}
	}
	return js.CreateConsumer(ctx, c.source.Stream, config)
}

// deleteBuildConsumer deletes the consumer of a build. If that fails, the server deletes it
// after buildInactiveThreshold.
func (c *consumer) deleteBuildConsumer(cons jetstream.Consumer) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	if err := c.db.config.JetStream.DeleteConsumer(ctx, c.source.Stream, cons.CachedInfo().Name); err != nil {
		c.db.config.Logger.Debug("the consumer of a rebuild was not deleted; the server deletes it when it is idle", "view", c.db.def.Name, "reason", err)
	}
}

func (c *consumer) consumerConfig() jetstream.ConsumerConfig {
	config := jetstream.ConsumerConfig{
		Description:    "feeds the view " + c.db.def.Name,
		FilterSubjects: c.source.Subjects,
		DeliverPolicy:  jetstream.DeliverByStartSequencePolicy,
		OptStartSeq:    c.sequence + 1,
	}
	if c.db.building {
		config.Name = c.durableName() + "-build-" + eventlog.NewID()
		config.Description, config.AckPolicy = "builds the view "+c.db.def.Name, jetstream.AckNonePolicy
		config.InactiveThreshold, config.MemoryStorage, config.Replicas = buildInactiveThreshold, true, 1
		return config
	}
	config.Durable = c.durableName()
	// The checkpoint is in the database, so the server need not write and sync the
	// consumer's state to its disk. A consumer that it has forgotten is created again.
	config.MemoryStorage, config.InactiveThreshold = true, inactiveThreshold
	// A redelivered event is skipped, so a lost acknowledgement costs only the time until
	// the redelivery.
	config.AckPolicy, config.AckWait, config.MaxAckPending = jetstream.AckAllPolicy, ackWait, maxAckPending
	return config
}

// durableName returns the durable consumer's name. Its prefix names service and replica, so
// that an operator can tell whose lag it shows.
func (c *consumer) durableName() string {
	return strings.TrimPrefix(strings.Join([]string{c.db.config.Consumer, c.db.def.Name, strings.ToLower(c.source.Stream)}, "-"), "-")
}

func filterSubjects(c jetstream.ConsumerConfig) []string {
	if c.FilterSubject != "" {
		return []string{c.FilterSubject}
	}
	return c.FilterSubjects
}

// lag returns an upper bound of the number of events that are not yet in the rows.
func (c *consumer) lag(ctx context.Context) (uint64, error) {
	if cons := c.nats.Load(); cons != nil {
		info, err := (*cons).Info(ctx)
		if err == nil {
			return info.NumPending + uint64(info.NumAckPending), nil
		}
		if !errors.Is(err, jetstream.ErrConsumerNotFound) {
			return 0, err
		}
	}
	stream, err := c.db.config.JetStream.Stream(ctx, c.source.Stream)
	if err != nil {
		return 0, fmt.Errorf("stream %s: %w", c.source.Stream, err)
	}
	return stream.CachedInfo().State.LastSeq - min(c.position.Load(), stream.CachedInfo().State.LastSeq), nil
}
