package main

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/synadia-io/orbit.go/jetstreamext"

	"lonja/events"
	"lonja/kit/eventlog"
)

var threeServers = []string{"nats-1", "nats-2", "nats-3"}

// TestTheWholeStoryOnAClusterWithThreeReplicas runs the shop as it runs in
// production: three NATS servers, every stream on all of them, two replicas of
// every service, each part with its own key.
func TestTheWholeStoryOnAClusterWithThreeReplicas(t *testing.T) {
	d, data := startNATSServers(t, threeServers, "--tls"), t.TempDir()
	s, processes := d.openShop(data, "a", "b")
	d.wantReplicas(3)
	story(t, s)
	d.audit(data)

	// Without the server that leads the orders, the shop goes on.
	dave := s.as("dave")
	gone := d.leader("ORDERS")
	d.kill(gone)
	within(t, 30*time.Second, func() error { // an election takes its time
		a, err := dave.do("POST", "/api/orders", map[string]any{"items": []events.Quantity{pieces("71053", 1)}}, "Idempotency-Key", "in the dark")
		if err == nil && a.status != 201 {
			err = fmt.Errorf("%d %s", a.status, a.body)
		}
		return err
	})
	d.start(gone)
	d.awaitHealthy(gone)
	s.awaitReady()
	d.audit(data)
	for _, p := range processes {
		p.stop()
	}
}

// wantReplicas makes sure that every stream is on n servers.
func (d *natsd) wantReplicas(n int) {
	d.t.Helper()
	out, err := exec.Command(binary, append([]string{"streams", "plan", "--replicas", fmt.Sprint(n)}, d.as(operator)...)...).CombinedOutput()
	if err != nil {
		d.t.Errorf("not every stream has %d replicas: %v\n%s", n, err, out)
	}
}

// logOn is the shop's log through a server of one's choice.
func (d *natsd) logOn(name string) (*eventlog.Log, jetstream.JetStream) {
	d.t.Helper()
	one := *d
	one.names = []string{name}
	js, err := jetstream.New(one.connect(operator))
	if err != nil {
		d.t.Fatal(err)
	}
	return eventlog.New(js, language), js
}

// cluster is three servers with the shop's streams on each, and nothing else.
func cluster(t *testing.T) *natsd {
	t.Helper()
	d := startNATSServers(t, threeServers)
	runOnce(t, append([]string{"streams", "apply", "--wait", "60s", "--replicas", "3"}, d.as(operator)...)...)
	return d
}

// shipped is some event of an order, which none in front of it makes illegal here:
// only its place in the log matters.
func shipped(order string) events.Event { return events.OrderShipped{OrderID: events.OrderID(order)} }

func factOf(id string) eventlog.Envelope {
	return eventlog.Envelope{ID: id, Causation: "wish-" + id, Correlation: "wish-" + id, Time: time.Now()}
}

// TestALostRaceHasTwoCodesOnReplicatedStreams lets many append to one entity at
// once. Whoever loses is told by one of two codes, and both are a conflict.
func TestALostRaceHasTwoCodesOnReplicatedStreams(t *testing.T) {
	d := cluster(t)
	log, js := d.logOn(d.leader("ORDERS"))
	codes := map[jetstream.ErrorCode]int{}
	const rounds, racers = 40, 8
	for round := range rounds {
		order := fmt.Sprintf("ord_race%d", round)
		var mu sync.Mutex
		var racing sync.WaitGroup
		won := 0
		for racer := range racers {
			racing.Go(func() {
				_, err := log.Append(t.Context(), "ORDERS", "events.order."+order+".>", 0, factOf(fmt.Sprintf("%s-%d", order, racer)), shipped(order))
				raw := expectingNothing(t.Context(), js, order, fmt.Sprintf("%s-late-%d", order, racer))
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

// expectingNothing appends as a new entity's first event; the error is the server's own.
func expectingNothing(ctx context.Context, js jetstream.JetStream, order, id string) error {
	_, err := js.PublishMsg(ctx, &nats.Msg{Subject: "events.order." + order + ".shipped", Data: []byte(`{}`), Header: nats.Header{
		jetstream.MsgIDHeader:                   {id},
		jetstream.ExpectedLastSubjSeqHeader:     {"0"},
		jetstream.ExpectedLastSubjSeqSubjHeader: {"events.order." + order + ".>"},
	}}, jetstream.WithRetryAttempts(0))
	return err
}

// TestTheSameFactTwiceIsOneFactOnReplicatedStreams: what one server refuses by
// its place in the log, a cluster may take for a duplicate. Either way nothing is
// recorded twice, and it is told from a success.
func TestTheSameFactTwiceIsOneFactOnReplicatedStreams(t *testing.T) {
	d := cluster(t)
	log, _ := d.logOn(d.leader("ORDERS"))
	filter := "events.order.ord_twice.>"
	first, err := log.Append(t.Context(), "ORDERS", filter, 0, factOf("same"), shipped("ord_twice"))
	if err != nil {
		t.Fatal(err)
	}
	for _, after := range []uint64{0, first.Sequence} {
		_, err := log.Append(t.Context(), "ORDERS", filter, after, factOf("same"), shipped("ord_twice"))
		if !errors.Is(err, eventlog.ErrDuplicate) && !errors.Is(err, eventlog.ErrConflict) {
			t.Errorf("again after %d: %v", after, err)
		}
		t.Logf("again after %d: %v", after, err)
	}
	if last, err := log.Last(t.Context(), "ORDERS", filter); err != nil || last != first.Sequence {
		t.Errorf("last is %d, not %d: %v", last, first.Sequence, err)
	}
}

// TestAFollowerThatIsBehindIsNotBelieved appends through the leader and loads
// through a follower, which often answers out of what it knew a moment ago. Load
// insists until it has seen what it was asked for.
func TestAFollowerThatIsBehindIsNotBelieved(t *testing.T) {
	d := cluster(t)
	leader := d.leader("ORDERS")
	writing, _ := d.logOn(leader)
	follower := threeServers[0]
	if follower == leader {
		follower = threeServers[1]
	}
	reading, js := d.logOn(follower)
	after, stale := uint64(0), 0
	const order, filter, facts = "ord_far", "events.order.ord_far.>", 300
	for n := range facts {
		event, err := writing.Append(t.Context(), "ORDERS", filter, after, factOf(fmt.Sprintf("far-%d", n)), shipped(order))
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
	t.Logf("%d of %d single reads by a follower were stale", stale, facts)
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

// TestAFrozenFollowerHoldsNobodyUp: two of three are a majority.
func TestAFrozenFollowerHoldsNobodyUp(t *testing.T) {
	d := cluster(t)
	leader := d.leader("ORDERS")
	log, _ := d.logOn(leader)
	for _, name := range threeServers {
		if name == leader {
			continue
		}
		frozen := d.running[name].Process
		if err := frozen.Signal(syscall.SIGSTOP); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		if _, err := log.Append(ctx, "ORDERS", "events.order.ord_"+name+".>", 0, factOf(name), shipped("ord_"+name)); err != nil {
			t.Errorf("without %s: %v", name, err)
		}
		cancel()
		if err := frozen.Signal(syscall.SIGCONT); err != nil {
			t.Fatal(err)
		}
		d.awaitHealthy(name)
	}
}
