package streams_test

import (
	"slices"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"lonja/kit/kittest"
	"lonja/kit/streams"
)

const heldLong = `
streams:
  - name: THINGS
    subjects: [things.>]
    consumers:
      - {durable_name: things-reader, filter_subjects: [things.*], ack_policy: explicit, ack_wait: 3600000000000, max_deliver: -1, max_ack_pending: 8}
`

// things applies a configuration and records so many things.
func things(t *testing.T, c *streams.Config, js jetstream.JetStream, n int) jetstream.Consumer {
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

// fetch takes n messages, acknowledges those after the first ones, which it keeps
// for itself, and returns their sequences.
func fetch(t *testing.T, cons jetstream.Consumer, n, kept int) (got []uint64) {
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
		if got = append(got, meta.Sequence.Stream); len(got) > kept {
			if err := m.DoubleAck(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
	}
	return got
}

// Whoever fetched took all that a consumer may have under way, and died. Nothing
// else moves for an hour, unless it is given back.
func TestWhatTheDeadHadIsGivenBackAtOnce(t *testing.T) {
	js, c := kittest.New(t).JS, parse(t, heldLong)
	cons := things(t, c, js, 10)
	if got := fetch(t, cons, 8, 8); len(got) != 8 {
		t.Fatalf("fetched %v", got)
	}
	for range 2 { // it may be interrupted, and done again
		if err := c.GiveBack(t.Context(), js); err != nil {
			t.Fatal(err)
		}
	}
	if got := fetch(t, cons, 8, 0); !slices.Equal(got, []uint64{1, 2, 3, 4, 5, 6, 7, 8}) {
		t.Errorf("given back were %v", got)
	}
	if got := fetch(t, cons, 2, 0); !slices.Equal(got, []uint64{9, 10}) {
		t.Errorf("then came %v", got)
	}
	wantPlan(t, c, js)
}

// Very much is not done again for the sake of one.
func TestWhatWasDoneLongAfterIsNotDoneAgain(t *testing.T) {
	js, c := kittest.New(t).JS, parse(t, heldLong)
	cons := things(t, c, js, 2100)
	fetch(t, cons, 2100, 1)
	if err := c.GiveBack(t.Context(), js); err != nil {
		t.Fatal(err)
	}
	info, err := cons.Info(t.Context())
	if err != nil || info.NumAckPending != 1 || info.Delivered.Stream != 2100 {
		t.Errorf("%d pending, delivered up to %d, %v", info.NumAckPending, info.Delivered.Stream, err)
	}
}
