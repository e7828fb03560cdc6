package streams_test

import (
	"slices"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"lonja/kit/kittest"
	"lonja/kit/streams"
)

const longAckWait = `
streams:
  - name: THINGS
    subjects: [things.>]
    consumers:
      - {durable_name: things-reader, filter_subjects: [things.*], ack_policy: explicit, ack_wait: 3600000000000, max_deliver: -1, max_ack_pending: 8}
`

// applyWithMessages applies a configuration, publishes n messages, and returns the
// consumer.
func applyWithMessages(t *testing.T, c *streams.Config, js jetstream.JetStream, n int) jetstream.Consumer {
	t.Helper()
	if err := c.Apply(t.Context(), js, 0); err != nil {
		t.Fatal(err)
	}
	for range n {
		if _, err := js.Publish(t.Context(), "things.one", nil); err != nil {
			t.Fatal(err)
		}
	}
	cons, err := js.Consumer(t.Context(), "THINGS", "things-reader")
	if err != nil {
		t.Fatal(err)
	}
	return cons
}

// fetch fetches n messages, acknowledges all but the first unacked ones, and returns
// the sequences.
func fetch(t *testing.T, cons jetstream.Consumer, n, unacked int) (got []uint64) {
	t.Helper()
	batch, err := cons.Fetch(n, jetstream.FetchMaxWait(10*time.Second))
	if err != nil {
		t.Fatal(err)
	}
	for m := range batch.Messages() {
		meta, err := m.Metadata()
		if err != nil {
			t.Fatal(err)
		}
		if got = append(got, meta.Sequence.Stream); len(got) > unacked {
			if err := m.DoubleAck(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
	}
	return got
}

// A client fetched as many messages as max_ack_pending allows, and crashed. Without
// Redeliver the consumer delivers nothing for an hour.
func TestRedeliver_DeliversUnacknowledgedMessagesAtOnce(t *testing.T) {
	js, c := kittest.New(t).JS, parse(t, longAckWait)
	cons := applyWithMessages(t, c, js, 10)
	if got := fetch(t, cons, 8, 8); len(got) != 8 {
		t.Fatalf("fetched %v", got)
	}
	for range 2 { // may be repeated
		if err := c.Redeliver(t.Context(), js); err != nil {
			t.Fatal(err)
		}
	}
	if got := fetch(t, cons, 8, 0); !slices.Equal(got, []uint64{1, 2, 3, 4, 5, 6, 7, 8}) {
		t.Errorf("redelivered %v", got)
	}
	if got := fetch(t, cons, 2, 0); !slices.Equal(got, []uint64{9, 10}) {
		t.Errorf("then delivered %v", got)
	}
	wantPlan(t, c, js)
}

// One old unacknowledged message is not worth 2099 redeliveries.
func TestRedeliver_LeavesAConsumerThatIsFarAhead(t *testing.T) {
	js, c := kittest.New(t).JS, parse(t, longAckWait)
	cons := applyWithMessages(t, c, js, 2100)
	fetch(t, cons, 2100, 1)
	if err := c.Redeliver(t.Context(), js); err != nil {
		t.Fatal(err)
	}
	info, err := cons.Info(t.Context())
	if err != nil || info.NumAckPending != 1 || info.Delivered.Stream != 2100 {
		t.Errorf("%d pending, delivered up to %d, %v", info.NumAckPending, info.Delivered.Stream, err)
	}
}
