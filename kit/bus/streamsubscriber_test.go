package bus_test

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/nats-io/nats.go/jetstream"

	"lonja/kit/bus"
	"lonja/kit/kittest"
)

// ackWait is the consumer's in these tests.
const ackWait = 2 * time.Second

// react subscribes to the stream of counters with a shared consumer; handle is called for
// messages side by side, and acknowledges them.
func react(t *testing.T, js jetstream.JetStream, facts *bus.StreamSubscriber, handle func(*message.Message)) jetstream.Consumer {
	t.Helper()
	cons, err := js.CreateOrUpdateConsumer(t.Context(), kittest.Stream, jetstream.ConsumerConfig{Durable: "reader", AckPolicy: jetstream.AckExplicitPolicy, AckWait: ackWait, MaxAckPending: 100})
	if err != nil {
		t.Fatal(err)
	}
	facts.JetStream, facts.Logger = js, slog.New(slog.DiscardHandler)
	facts.Consumer = func(ctx context.Context) (jetstream.Consumer, error) {
		return js.Consumer(ctx, kittest.Stream, "reader")
	}
	arriving, err := facts.Subscribe(t.Context(), "reader")
	if err != nil {
		t.Fatal(err)
	}
	var working sync.WaitGroup
	working.Go(func() {
		for m := range arriving {
			working.Go(func() { handle(m); m.Ack() })
		}
	})
	t.Cleanup(func() {
		if err := facts.Close(); err != nil {
			t.Error(err)
		}
		working.Wait()
	})
	return cons
}

func TestWhatIsWorkedOnOrWaitsIsDeliveredOnce(t *testing.T) {
	log := kittest.New(t)
	for range 3 {
		log.Add("c", 1)
	}
	delivered := make(chan string, 10)
	cons := react(t, log.JS, &bus.StreamSubscriber{InFlight: 1}, func(m *message.Message) {
		<-time.After(ackWait * 3 / 2) // work that takes longer than the server waits
		delivered <- m.Metadata.Get(bus.MetaSequence) + "/" + m.Metadata.Get(bus.MetaDelivered)
	})
	got := []string{<-delivered, <-delivered, <-delivered}
	if slices.Sort(got); !slices.Equal(got, []string{"1/1", "2/1", "3/1"}) {
		t.Errorf("delivered sequence/times %v", got)
	}
	if info, err := cons.Info(t.Context()); err != nil || info.NumRedelivered != 0 || info.Delivered.Consumer != 3 {
		t.Errorf("%+v, %v", info, err)
	}
}

func TestWhatAStuckHandlerHoldsUpIsGivenToOthers(t *testing.T) {
	log := kittest.New(t)
	stuck, over := make(chan string, 10), make(chan struct{})
	react(t, log.JS, &bus.StreamSubscriber{InFlight: 1, Timeout: time.Second}, func(m *message.Message) {
		stuck <- m.Metadata.Get(bus.MetaSequence)
		<-over
	})
	defer close(over)
	log.Add("c", 1)
	if first := <-stuck; first != "1" {
		t.Fatalf("the first was %s", first)
	}
	log.Add("c", 1) // waits behind it
	// The one that gets stuck may be asked again, but has no handler for that.
	taken := make(chan string, 10)
	react(t, log.JS, &bus.StreamSubscriber{}, func(m *message.Message) { taken <- m.Metadata.Get(bus.MetaSequence) })
	for missing := map[string]bool{"1": true, "2": true}; len(missing) > 0; {
		select {
		case seq := <-taken:
			delete(missing, seq)
		case <-time.After(time.Minute):
			t.Fatalf("nobody was given %v", missing)
		}
	}
}

// within tries until there is no error, for a minute at most.
func within(t *testing.T, try func() error) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); ; {
		err := try()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatal(err)
		}
		<-time.After(5 * time.Millisecond)
	}
}

func TestAConsumerThatDeliversNothingIsToldOf(t *testing.T) {
	log, came := kittest.New(t), make(chan string, 10)
	facts := &bus.StreamSubscriber{}
	react(t, log.JS, facts, func(m *message.Message) { came <- m.Metadata.Get(bus.MetaSequence) })
	log.Add("c", 1)
	<-came
	if _, err := log.JS.PauseConsumer(t.Context(), kittest.Stream, "reader", time.Now().Add(time.Hour)); err != nil {
		t.Fatal(err)
	}
	log.Add("c", 1)
	within(t, func() error {
		if !facts.Stalled() {
			return errors.New("it does not stand still")
		}
		return nil
	})
	if _, err := log.JS.ResumeConsumer(t.Context(), kittest.Stream, "reader"); err != nil {
		t.Fatal(err)
	}
	if seq := <-came; seq != "2" {
		t.Errorf("came %s", seq)
	}
	within(t, func() error {
		if facts.Stalled() {
			return errors.New("it stands still")
		}
		return nil
	})
}

func TestLostRequestsAreMadeOnAnotherConnection(t *testing.T) {
	log, came := kittest.New(t), make(chan string, 10)
	way := log.ConnectLossy(t)
	react(t, way.JS, &bus.StreamSubscriber{}, func(m *message.Message) { came <- m.Metadata.Get(bus.MetaSequence) })
	log.Add("c", 1)
	<-came
	way.DropPulls()
	// What was asked for before still comes.
	for last := ""; last != "200"; {
		seq := strconv.FormatUint(log.Add("c", 1), 10)
		select {
		case last = <-came:
		case <-time.After(time.Minute):
			t.Fatalf("%s did not come", seq)
		}
	}
}
