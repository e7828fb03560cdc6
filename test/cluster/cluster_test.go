package cluster

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/synadia-io/orbit.go/jetstreamext"

	"lonja/events"
	"lonja/kit/eventlog"
	"lonja/shop"
	"lonja/shop/codec"
	"lonja/test/harness"
)

// TestStory_OnAClusterWithThreeReplicas runs the shop as it runs in
// production: three NATS servers, every stream on all of them, two replicas of
// every service, each part with its own key.
func TestStory_OnAClusterWithThreeReplicas(t *testing.T) {
	d, data := harness.StartServers(t, harness.ThreeServers, "--tls"), t.TempDir()
	s, processes := d.OpenShop(data, "a", "b")
	wantReplicas(d, 3)
	harness.Story(t, s)
	d.Audit(data)

	// The shop continues without the server that leads ORDERS.
	dave := s.As("dave")
	gone := d.Leader("ORDERS")
	d.Kill(gone)
	harness.Within(t, 30*time.Second, func() error { // an election takes seconds
		a, err := dave.Do("POST", "/api/orders", map[string]any{"items": []events.Quantity{harness.Pieces("71053", 1)}}, "Idempotency-Key", "in the dark")
		if err == nil && a.Status != 201 {
			err = fmt.Errorf("%d %s", a.Status, a.Body)
		}
		return err
	})
	d.Start(gone)
	d.AwaitHealthy(gone)
	s.AwaitReady()
	d.Audit(data)
	for _, p := range processes {
		p.Stop()
	}
}

// wantReplicas checks that every stream is on n servers.
func wantReplicas(d *harness.Servers, n int) {
	d.T.Helper()
	out, err := harness.Command(d.T, append([]string{"streams", "plan", "--replicas", fmt.Sprint(n)}, d.As(shop.Operator)...)...).CombinedOutput()
	if err != nil {
		d.T.Errorf("not every stream has %d replicas: %v\n%s", n, err, out)
	}
}

// logOn returns the shop's log, read and written through one server.
func logOn(d *harness.Servers, name string) (*eventlog.Log, jetstream.JetStream) {
	d.T.Helper()
	js, err := jetstream.New(d.Only(name).Connect(shop.Operator))
	if err != nil {
		d.T.Fatal(err)
	}
	return eventlog.New(js, codec.Events), js
}

// cluster starts three servers with the shop's streams on each, and nothing else.
func cluster(t *testing.T) *harness.Servers {
	t.Helper()
	d := harness.StartServers(t, harness.ThreeServers)
	harness.Run(t, append([]string{"streams", "apply", "--wait", "60s", "--replicas", "3"}, d.As(shop.Operator)...)...)
	return d
}

// shipped returns an event of an order. No service is running that could check it;
// only its position in the log matters.
func shipped(order string) events.Event { return events.OrderShipped{OrderID: events.OrderID(order)} }

func envelopeOf(id string) eventlog.Envelope {
	return eventlog.Envelope{ID: id, Causation: "command-" + id, Correlation: "command-" + id, Time: time.Now()}
}

// TestAppend_ALostRaceHasTwoCodesOnReplicatedStreams appends to one entity
// concurrently. The server answers the losers with one of two codes. Both are a
// conflict.
func TestAppend_ALostRaceHasTwoCodesOnReplicatedStreams(t *testing.T) {
	d := cluster(t)
	log, js := logOn(d, d.Leader("ORDERS"))
	codes := map[jetstream.ErrorCode]int{}
	const rounds, racers = 40, 8
	for round := range rounds {
		order := fmt.Sprintf("ord_race%d", round)
		var mu sync.Mutex
		var racing sync.WaitGroup
		won := 0
		for racer := range racers {
			racing.Go(func() {
				_, err := log.Append(t.Context(), "ORDERS", "events.order."+order+".>", 0, envelopeOf(fmt.Sprintf("%s-%d", order, racer)), shipped(order))
				raw := appendFirst(t.Context(), js, order, fmt.Sprintf("%s-late-%d", order, racer))
				mu.Lock()
				defer mu.Unlock()
				switch {
				case err == nil:
					won++
				case !errors.Is(err, eventlog.ErrConflict):
					t.Errorf("a lost race is %v", err)
				}
				var api *jetstream.APIError
				if !errors.As(raw, &api) || !eventlog.IsConflict(raw) {
					t.Errorf("an append that expects nothing, behind others, is %v", raw)
					return
				}
				codes[api.ErrorCode]++
			})
		}
		racing.Wait()
		if last, err := log.Last(t.Context(), "ORDERS", "events.order."+order+".>"); won != 1 || err != nil || last == 0 {
			t.Fatalf("%d of %d won, last is %d, %v", won, racers, last, err)
		}
	}
	t.Logf("codes of lost races: %v", codes)
	if codes[10071] == 0 || codes[10164] == 0 {
		t.Error("both codes should be seen: 10071 behind a winner, 10164 while it is in flight")
	}
}

// appendFirst appends the first event of an entity and returns the server's error.
func appendFirst(ctx context.Context, js jetstream.JetStream, order, id string) error {
	_, err := js.PublishMsg(ctx, &nats.Msg{Subject: "events.order." + order + ".shipped", Data: []byte(`{}`), Header: nats.Header{
		jetstream.MsgIDHeader:                   {id},
		jetstream.ExpectedLastSubjSeqHeader:     {"0"},
		jetstream.ExpectedLastSubjSeqSubjHeader: {"events.order." + order + ".>"},
	}}, jetstream.WithRetryAttempts(0))
	return err
}

// When an event is appended twice, a single server reports a wrong sequence, and a
// cluster may report a duplicate. Either way the event is recorded once, and the
// caller can tell the answer from a success.
func TestAppend_ADuplicateIsRecordedOnceOnReplicatedStreams(t *testing.T) {
	d := cluster(t)
	log, _ := logOn(d, d.Leader("ORDERS"))
	filter := "events.order.ord_twice.>"
	unique := eventlog.UniqueID("same")
	first, err := log.Append(t.Context(), "ORDERS", filter, 0, envelopeOf("same"), shipped("ord_twice"), unique)
	if err != nil {
		t.Fatal(err)
	}
	// Where an id cannot come for another entity, the condition alone keeps a second one out.
	if _, err := log.Append(t.Context(), "ORDERS", filter, 0, envelopeOf("same"), shipped("ord_twice")); !errors.Is(err, eventlog.ErrConflict) {
		t.Errorf("again without a message id: %v", err)
	}
	for _, after := range []uint64{0, first.Sequence} {
		_, err := log.Append(t.Context(), "ORDERS", filter, after, envelopeOf("same"), shipped("ord_twice"), unique)
		if !errors.Is(err, eventlog.ErrDuplicate) && !errors.Is(err, eventlog.ErrConflict) {
			t.Errorf("again after %d: %v", after, err)
		}
		t.Logf("again after %d: %v", after, err)
	}
	if last, err := log.Last(t.Context(), "ORDERS", filter); err != nil || last != first.Sequence {
		t.Errorf("last is %d, not %d: %v", last, first.Sequence, err)
	}
}

// TestLoad_IgnoresAStaleFollower appends through the leader and loads through a
// follower, whose answers are often stale. Load retries until it has seen the
// sequence that it was asked for.
func TestLoad_IgnoresAStaleFollower(t *testing.T) {
	d := cluster(t)
	leader := d.Leader("ORDERS")
	writing, _ := logOn(d, leader)
	viewFixture := harness.ThreeServers[0]
	if viewFixture == leader {
		viewFixture = harness.ThreeServers[1]
	}
	reading, js := logOn(d, viewFixture)
	after, stale := uint64(0), 0
	const order, filter, appends = "ord_far", "events.order.ord_far.>", 300
	for n := range appends {
		event, err := writing.Append(t.Context(), "ORDERS", filter, after, envelopeOf(fmt.Sprintf("far-%d", n)), shipped(order))
		if err != nil {
			t.Fatal(err)
		}
		if !sees(t.Context(), js, filter, event.Sequence) {
			stale++
		}
		seen := uint64(0)
		if err := reading.Load(t.Context(), "ORDERS", filter, after, event.Sequence, func(r eventlog.Record) { seen = r.Sequence }); err != nil || seen != event.Sequence {
			t.Fatalf("loaded up to %d of %d: %v", seen, event.Sequence, err)
		}
		if last, err := reading.Last(t.Context(), "ORDERS", filter); err != nil || last != event.Sequence {
			t.Fatalf("the last is %d, not %d: %v", last, event.Sequence, err)
		}
		after = event.Sequence
	}
	t.Logf("%d of %d single reads by a follower were stale", stale, appends)
}

// sees reports whether a direct read, which any server may answer, shows an event.
func sees(ctx context.Context, js jetstream.JetStream, filter string, seq uint64) bool {
	msgs, err := jetstreamext.GetBatch(ctx, js, "ORDERS", 1, jetstreamext.GetBatchSubject(filter), jetstreamext.GetBatchSeq(seq))
	if err != nil {
		return false
	}
	for m, err := range msgs {
		return err == nil && m.Sequence == seq
	}
	return false
}

// Two of three servers are a majority.
func TestAppend_AFrozenFollowerDoesNotBlock(t *testing.T) {
	d := cluster(t)
	leader := d.Leader("ORDERS")
	log, _ := logOn(d, leader)
	for _, name := range harness.ThreeServers {
		if name == leader {
			continue
		}
		frozen := d.Process(name)
		if err := frozen.Signal(syscall.SIGSTOP); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		if _, err := log.Append(ctx, "ORDERS", "events.order.ord_"+name+".>", 0, envelopeOf(name), shipped("ord_"+name)); err != nil {
			t.Errorf("without %s: %v", name, err)
		}
		cancel()
		if err := frozen.Signal(syscall.SIGCONT); err != nil {
			t.Fatal(err)
		}
		d.AwaitHealthy(name)
	}
}
