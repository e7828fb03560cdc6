package seed

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// inFlight is how many messages may wait for their acknowledgement.
const inFlight = 8_000

// streamOf is where the events of each entity are recorded.
var streamOf = map[string]string{
	"product": "CATALOG", "stock": "INVENTORY", "order": "ORDERS", "payment": "PAYMENTS", "receipt": "RECEIPTS", "user": "IDENTITY",
}

// stallWait is how long a message may wait while too many are in flight: a busy disk takes its time.
const stallWait = time.Minute

// ahead is a JetStream that acknowledges a message as soon as it is sent, with the sequence
// that it will have: nobody else publishes. A message without the expected sequence is
// rejected by the server, since the next event of its entity expects it.
type ahead struct {
	jetstream.JetStream
	ends   map[string]uint64 // the last sequence of each stream
	failed atomic.Pointer[error]
}

// newAhead returns a JetStream on a connection that nobody else publishes events on.
func newAhead(ctx context.Context, nc *nats.Conn) (*ahead, error) {
	a := &ahead{ends: map[string]uint64{}}
	js, err := jetstream.New(nc, jetstream.WithPublishAsyncMaxPending(inFlight),
		jetstream.WithPublishAsyncErrHandler(func(_ jetstream.JetStream, m *nats.Msg, err error) {
			err = fmt.Errorf("%s: %w", m.Subject, err)
			a.failed.CompareAndSwap(nil, &err)
		}))
	if err != nil {
		return nil, err
	}
	a.JetStream = js
	for _, name := range streamOf {
		stream, err := js.Stream(ctx, name)
		if err != nil {
			return nil, fmt.Errorf("stream %s: %w", name, err)
		}
		a.ends[name] = stream.CachedInfo().State.LastSeq
	}
	return a, nil
}

// PublishMsg implements jetstream.Publisher. It waits only while too many messages are in
// flight. The error is that of any message before.
func (a *ahead) PublishMsg(_ context.Context, m *nats.Msg, _ ...jetstream.PublishOpt) (*jetstream.PubAck, error) {
	if err := a.failed.Load(); err != nil {
		return nil, *err
	}
	entity, _, _ := strings.Cut(strings.TrimPrefix(m.Subject, "events."), ".")
	stream := streamOf[entity]
	if _, err := a.PublishMsgAsync(m, jetstream.WithStallWait(stallWait)); err != nil {
		return nil, err
	}
	a.ends[stream]++
	return &jetstream.PubAck{Stream: stream, Sequence: a.ends[stream]}, nil
}

// flush waits until all messages are stored, and checks that they are where they should be.
func (a *ahead) flush(ctx context.Context) error {
	select {
	case <-a.PublishAsyncComplete():
	case <-ctx.Done():
		return ctx.Err()
	}
	if err := a.failed.Load(); err != nil {
		return *err
	}
	for name, want := range a.ends {
		stream, err := a.Stream(ctx, name)
		if err != nil {
			return fmt.Errorf("stream %s: %w", name, err)
		}
		if is := stream.CachedInfo().State.LastSeq; is != want {
			return fmt.Errorf("stream %s ends at %d, not at %d: %w", name, is, want, errNotAlone)
		}
	}
	return nil
}

var errNotAlone = errors.New("somebody else publishes events; stop the shop while it is seeded")
