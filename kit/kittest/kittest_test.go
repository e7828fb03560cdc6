package kittest_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"lonja/kit/eventlog"
	"lonja/kit/kittest"
	"lonja/kit/kittest/baddisk"
	"lonja/kit/natsembed"
)

// load returns the sum of the counter c, and the number of its poison messages.
func load(t *testing.T, log *kittest.Log, to uint64) (sum, poison int, err error) {
	t.Helper()
	err = log.Load(t.Context(), kittest.Stream, "events.counter.c.>", 0, to, func(r eventlog.Record) {
		if r.Err != nil {
			poison++
			return
		}
		sum += r.Event.(kittest.Added).By
	})
	return sum, poison, err
}

func TestLog_HoldsEventsAndPoisonMessages(t *testing.T) {
	log := kittest.New(t)
	log.Add("c", 1)
	last := log.Poison("events.counter.c.added", "not an event")
	if sum, poison, err := load(t, log, last); err != nil || sum != 1 || poison != 1 {
		t.Errorf("the sum is %d, with %d poison messages, %v", sum, poison, err)
	}
}

func TestInjectFault_TheServerReportsItsReason(t *testing.T) {
	for fault, want := range map[baddisk.Fault]error{baddisk.NoSpace: natsembed.ErrFull, baddisk.NoSync: natsembed.ErrBroken} {
		log := kittest.NewSynced(t)
		log.Add("c", 1)
		healthy := log.Server.Healthy()
		log.InjectFault(fault)
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		if _, err := log.JS.Publish(ctx, "events.counter.c.added", nil); err == nil {
			t.Errorf("%s: a message was acknowledged that was not stored", fault)
		}
		cancel()
		select {
		case <-healthy.Done():
			if got := context.Cause(healthy); !errors.Is(got, want) {
				t.Errorf("%s: the reason is %v, want %v", fault, got, want)
			}
		case <-time.After(30 * time.Second):
			t.Errorf("%s: the server did not detect it", fault)
		}
	}
}

func TestMakeUnreadable_KnownMessagesAreNotFound(t *testing.T) {
	log := kittest.New(t)
	last := log.Add("c", 1)
	log.MakeUnreadable()
	stream, err := log.JS.Stream(t.Context(), kittest.Stream)
	if err != nil {
		t.Fatal(err)
	}
	if state := stream.CachedInfo().State; state.FirstSeq != 1 || state.LastSeq < last {
		t.Errorf("the stream holds %d to %d", state.FirstSeq, state.LastSeq)
	}
	if msg, err := stream.GetMsg(t.Context(), last); err == nil {
		t.Errorf("message %d was read: %s", last, msg.Data)
	}
}

func TestLossyConn_LosesPullsUntilItReconnects(t *testing.T) {
	log := kittest.New(t)
	conn := log.ConnectLossy(t)
	cons, err := conn.JS.CreateConsumer(t.Context(), kittest.Stream, jetstream.ConsumerConfig{Durable: "reader", AckPolicy: jetstream.AckExplicitPolicy})
	if err != nil {
		t.Fatal(err)
	}
	fetch := func(wait time.Duration) (n int) {
		batch, err := cons.Fetch(1, jetstream.FetchMaxWait(wait))
		if err != nil {
			return 0 // while it reconnects
		}
		for range batch.Messages() {
			n++
		}
		return n
	}
	log.Add("c", 1)
	if n := fetch(30 * time.Second); n != 1 {
		t.Fatalf("fetched %d messages before DropPulls", n)
	}
	conn.DropPulls()
	log.Add("c", 1)
	if n := fetch(200 * time.Millisecond); n != 0 {
		t.Errorf("fetched %d messages although pulls are lost", n)
	}
	if info, err := cons.Info(t.Context()); err != nil || info.NumPending != 1 || info.NumWaiting != 0 {
		t.Errorf("other requests are lost, or the pull has arrived: %+v, %v", info, err)
	}
	if err := conn.JS.Conn().ForceReconnect(); err != nil {
		t.Fatal(err)
	}
	n := 0
	for deadline := time.Now().Add(30 * time.Second); n == 0 && time.Now().Before(deadline); {
		n = fetch(time.Second)
	}
	if n != 1 {
		t.Error("no message was fetched after the reconnect")
	}
}
