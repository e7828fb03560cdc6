package bus_test

import (
	"context"
	"fmt"
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

// ackWait is the consumer's ack_wait in these tests.
const ackWait = 2 * time.Second

// subscribe subscribes to the log with a shared consumer. It calls handle for several
// messages at once, and acknowledges them.
func subscribe(t *testing.T, js jetstream.JetStream, subscriber *bus.StreamSubscriber, handle func(*message.Message)) jetstream.Consumer {
	t.Helper()
	cons, err := js.CreateOrUpdateConsumer(t.Context(), kittest.Stream, jetstream.ConsumerConfig{Durable: "reader", AckPolicy: jetstream.AckExplicitPolicy, AckWait: ackWait, MaxAckPending: 100})
	if err != nil {
		t.Fatal(err)
	}
	subscriber.JetStream, subscriber.Logger = js, slog.New(slog.DiscardHandler)
	subscriber.Consumer = func(ctx context.Context) (jetstream.Consumer, error) {
		return js.Consumer(ctx, kittest.Stream, "reader")
	}
	arriving, err := subscriber.Subscribe(t.Context(), "reader")
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
		if err := subscriber.Close(); err != nil {
			t.Error(err)
		}
		working.Wait()
	})
	return cons
}

func TestStreamSubscriber_DeliversWhatIsHandledOrWaitsOnce(t *testing.T) {
	log := kittest.New(t)
	for range 3 {
		log.Add("c", 1)
	}
	delivered := make(chan string, 10)
	cons := subscribe(t, log.JS, &bus.StreamSubscriber{InFlight: 1}, func(m *message.Message) {
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

func TestStreamSubscriber_LeavesMessagesOfStuckHandlersToOthers(t *testing.T) {
	log := kittest.New(t)
	stuck, release := make(chan string, 10), make(chan struct{})
	subscribe(t, log.JS, &bus.StreamSubscriber{InFlight: 1, Timeout: time.Second}, func(m *message.Message) {
		stuck <- m.Metadata.Get(bus.MetaSequence)
		<-release
	})
	defer close(release)
	log.Add("c", 1)
	if first := <-stuck; first != "1" {
		t.Fatalf("the first was %s", first)
	}
	log.Add("c", 1) // waits behind it
	// The first subscriber may be sent them again, but has no handler left for them.
	taken := make(chan string, 10)
	subscribe(t, log.JS, &bus.StreamSubscriber{}, func(m *message.Message) { taken <- m.Metadata.Get(bus.MetaSequence) })
	for missing := map[string]bool{"1": true, "2": true}; len(missing) > 0; {
		select {
		case seq := <-taken:
			delete(missing, seq)
		case <-time.After(time.Minute):
			t.Fatalf("no other subscriber was delivered %v", missing)
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

func TestStreamSubscriber_ReportsAConsumerThatDeliversNothing(t *testing.T) {
	log, came := kittest.New(t), make(chan string, 10)
	subscriber := &bus.StreamSubscriber{}
	subscribe(t, log.JS, subscriber, func(m *message.Message) { came <- m.Metadata.Get(bus.MetaSequence) })
	log.Add("c", 1)
	<-came
	if _, err := log.JS.PauseConsumer(t.Context(), kittest.Stream, "reader", time.Now().Add(time.Hour)); err != nil {
		t.Fatal(err)
	}
	log.Add("c", 1)
	awaitStalled(t, subscriber, true)
	if _, err := log.JS.ResumeConsumer(t.Context(), kittest.Stream, "reader"); err != nil {
		t.Fatal(err)
	}
	if seq := <-came; seq != "2" {
		t.Errorf("came %s", seq)
	}
	awaitStalled(t, subscriber, false)
}

func awaitStalled(t *testing.T, s *bus.StreamSubscriber, want bool) {
	t.Helper()
	within(t, func() error {
		if got := s.Stalled(); got != want {
			return fmt.Errorf("stalled is %t, want %t", got, want)
		}
		return nil
	})
}

// TestStreamSubscriber_AStuckHandlerHidesNoStall blocks one of two handlers for ever while
// the consumer delivers nothing.
func TestStreamSubscriber_AStuckHandlerHidesNoStall(t *testing.T) {
	log, came, release := kittest.New(t), make(chan string, 10), make(chan struct{})
	subscriber := &bus.StreamSubscriber{InFlight: 2, Timeout: 500 * time.Millisecond}
	subscribe(t, log.JS, subscriber, func(m *message.Message) {
		came <- m.Metadata.Get(bus.MetaSequence)
		if m.Metadata.Get(bus.MetaSequence) == "1" && m.Metadata.Get(bus.MetaDelivered) == "1" {
			<-release // and ignores the context
		}
	})
	defer close(release)
	log.Add("c", 1)
	if first := <-came; first != "1" {
		t.Fatalf("the first was %s", first)
	}
	if _, err := log.JS.PauseConsumer(t.Context(), kittest.Stream, "reader", time.Now().Add(time.Hour)); err != nil {
		t.Fatal(err)
	}
	log.Add("c", 1)
	awaitStalled(t, subscriber, true)
	if _, err := log.JS.ResumeConsumer(t.Context(), kittest.Stream, "reader"); err != nil {
		t.Fatal(err)
	}
	for missing := map[string]bool{"1": true, "2": true}; len(missing) > 0; {
		delete(missing, <-came) // 1 is delivered once more, to the other handler
	}
	awaitStalled(t, subscriber, false)
}

// TestStreamSubscriber_IsStalledWhileEveryHandlerIsStuck blocks the only handler. Messages
// that are delivered again and again are no progress then.
func TestStreamSubscriber_IsStalledWhileEveryHandlerIsStuck(t *testing.T) {
	log, came, release := kittest.New(t), make(chan string, 100), make(chan struct{})
	subscriber := &bus.StreamSubscriber{InFlight: 1, Timeout: 500 * time.Millisecond}
	subscribe(t, log.JS, subscriber, func(m *message.Message) {
		came <- m.Metadata.Get(bus.MetaSequence)
		<-release
	})
	open := sync.OnceFunc(func() { close(release) })
	defer open()
	log.Add("c", 1)
	<-came
	log.Add("c", 1)
	awaitStalled(t, subscriber, true)
	open()
	for seq := ""; seq != "2"; {
		seq = <-came
	}
	awaitStalled(t, subscriber, false)
}

func TestStreamSubscriber_PullsOnAnotherConnectionWhenRequestsAreLost(t *testing.T) {
	// Acknowledgements may be lost with the connection, so there is room for what comes twice.
	log, came := kittest.New(t), make(chan string, 10_000)
	way := log.ConnectLossy(t)
	subscribe(t, way.JS, &bus.StreamSubscriber{}, func(m *message.Message) { came <- m.Metadata.Get(bus.MetaSequence) })
	log.Add("c", 1)
	<-came
	way.DropPulls()
	// Messages that were requested before still come.
	for last := ""; last != "200"; {
		seq := strconv.FormatUint(log.Add("c", 1), 10)
		select {
		case last = <-came:
		case <-time.After(time.Minute):
			t.Fatalf("%s did not come", seq)
		}
	}
}
