package main

import (
	"encoding/json"
	"fmt"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"lonja/events"
	"lonja/events/query"
)

// measured are times that something took.
type measured []time.Duration

func (m measured) worst() time.Duration { return slices.Max(m) }

func (m measured) median() time.Duration {
	sorted := slices.Sorted(slices.Values(m))
	return sorted[len(sorted)/2]
}

func (m measured) String() string {
	return fmt.Sprintf("%d times: median %v, worst %v", len(m), m.median().Round(time.Millisecond), m.worst().Round(time.Millisecond))
}

// moveOn lets many place an order each at once, and measures how long it is until
// the last of them has moved on: until inventory and orders have reacted. An order
// whose taker died before it answered is left for later, and does not count.
func (s *shop) moveOn(buyers []*person, moved func(*person, events.OrderID) error) time.Duration {
	s.t.Helper()
	times := make(measured, len(buyers))
	var buying sync.WaitGroup
	for i, b := range buyers {
		buying.Go(func() {
			began := time.Now()
			var o query.OrderView
			a, err := b.do("POST", "/api/orders", order("71053", 1))
			if err != nil || a.status != 201 && a.status != 202 || json.Unmarshal(a.body, &o) != nil {
				s.t.Errorf("%s places an order: %d %s, %v", b.name, a.status, a.body, err)
			} else if a.status == 201 {
				if err := tryWithin(time.Minute, func() error { return moved(b, o.ID) }); err != nil {
					s.t.Error(err)
				}
				times[i] = time.Since(began)
			}
		})
	}
	buying.Wait()
	if times.worst() == 0 {
		s.t.Fatal("nobody could place an order")
	}
	return times.worst()
}

// seenToMove tells whether a customer sees that an order has moved on.
func seenToMove(p *person, id events.OrderID) error {
	var o query.OrderView
	a, err := p.do("GET", "/api/orders/"+string(id), nil)
	if err == nil {
		err = json.Unmarshal(a.body, &o)
	}
	if err != nil || a.status != 200 || o.Status == query.Placed {
		return fmt.Errorf("order %s is still %s: %d, %v", id, o.Status, a.status, err)
	}
	return nil
}

// A shop that was killed goes on with what it was doing as soon as it is ready:
// nobody waits until what the dead one had in hand is given back by itself.
func TestKilledUnderLoadOrdersMoveOnOnceItIsReady(t *testing.T) {
	const rounds, customers = 5, 8
	data := t.TempDir()
	p, s := up(t, "--data", data)
	s.boss().sells("71053", 339, 1_000_000)
	buyers := make([]*person, customers)
	for i := range buyers {
		buyers[i] = s.as(fmt.Sprintf("buyer%d", i))
	}
	tried := make([][]attempt, customers)
	var first, usual measured
	for round := range rounds {
		crashWhileBuying(p, buyers, tried, round)
		p, s = up(t, "--data", data)
		for _, b := range buyers {
			b.shop = s
		}
		first = append(first, s.moveOn(buyers, seenToMove))
		for range 5 {
			usual = append(usual, s.moveOn(buyers, seenToMove))
		}
	}
	t.Logf("from ready until the first order moves on, %v; later orders, %v", first, usual)
	if limit := time.Second + 20*usual.median(); first.worst() > limit {
		t.Errorf("the first order moved on only after %v, more than %v", first.worst(), limit)
	}
}

// pair is a shop in which two processes serve inventory and orders, each as a
// replica of its own.
type pair struct {
	*shop
	url, data         string
	orders            jetstream.Stream
	replicas          map[string]*process
	buyers, witnesses []*person
}

func startPair(t *testing.T) *pair {
	t.Helper()
	p := &pair{url: startNATS(t), data: t.TempDir(), replicas: map[string]*process{}}
	runOnce(t, "streams", "apply", "--nats", p.url)
	start(t, "service", "--nats", p.url, "--data", p.data, "--admin-email", adminEmail, "--admin-password", adminPassword, "catalog", "identity", "payments")
	for _, name := range []string{"a", "b"} {
		p.run(t, name)
	}
	gateway := start(t, append(gatewayOn(freeAddr(t)), "--nats", p.url)...)
	p.shop = &shop{t, gateway.said["shop"]}
	p.awaitReady()
	nc, err := nats.Connect(p.url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	js, err := jetstream.New(nc)
	if err == nil {
		p.orders, err = js.Stream(t.Context(), "ORDERS")
	}
	if err != nil {
		t.Fatal(err)
	}
	p.boss().sells("71053", 339, 1_000_000)
	for i := range 8 {
		p.buyers = append(p.buyers, p.as(fmt.Sprintf("buyer%d", i)))
		p.witnesses = append(p.witnesses, p.as(fmt.Sprintf("witness%d", i)))
	}
	return p
}

func (p *pair) run(t *testing.T, replica string) {
	t.Helper()
	p.replicas[replica] = start(t, "service", "--nats", p.url, "--data", p.data, "--replica", replica, "inventory", "orders")
}

// signal sends a replica a signal in the midst of trade, and measures how long it
// is until orders move on that are placed at once.
func (p *pair) signal(t *testing.T, replica string, signal syscall.Signal) time.Duration {
	t.Helper()
	var buying sync.WaitGroup
	var placed atomic.Int64
	var over atomic.Bool
	for _, b := range p.buyers {
		buying.Go(func() {
			for !over.Load() {
				if a, err := b.do("POST", "/api/orders", order("71053", 1)); err == nil && a.status == 201 {
					placed.Add(1)
				}
			}
		})
	}
	eventually(t, func() error {
		if n := placed.Load(); n < 200 {
			return fmt.Errorf("only %d orders are placed", n)
		}
		return nil
	})
	if err := p.replicas[replica].cmd.Process.Signal(signal); err != nil {
		t.Fatal(err)
	}
	over.Store(true)
	if signal == syscall.SIGKILL {
		<-p.replicas[replica].exited
	}
	took := p.moveOn(p.witnesses, p.moved)
	buying.Wait()
	return took
}

// moved tells whether an order has moved on, by the log: a replica that has just
// died takes questions with it.
func (p *pair) moved(_ *person, id events.OrderID) error {
	last, err := p.orders.GetLastMsgForSubject(p.t.Context(), "events.order."+string(id)+".>")
	if err == nil && strings.HasSuffix(last.Subject, ".placed") {
		err = fmt.Errorf("order %s has not moved on", id)
	}
	return err
}

// audit fails the test unless everything comes to rest, and every order happened once.
func (p *pair) audit(t *testing.T) {
	t.Helper()
	within(t, time.Minute, func() error {
		out, err := exec.Command(binary, "audit", "--settled", "--nats", p.url, "--data", p.data).CombinedOutput()
		if err != nil {
			return fmt.Errorf("lonja audit: %w\n%s", err, out)
		}
		return nil
	})
}

// What a killed replica had in hand, and its place in front of the ledger, the
// other one has soon.
func TestAReplicaIsKilledAndTheOtherGoesOn(t *testing.T) {
	p := startPair(t)
	var took, usual measured
	for round := range 6 {
		usual = append(usual, p.moveOn(p.witnesses, p.moved))
		replica := []string{"a", "b"}[round%2]
		took = append(took, p.signal(t, replica, syscall.SIGKILL))
		p.run(t, replica)
	}
	t.Logf("from the kill until orders move on, %v; before, %v", took, usual)
	if limit := 3*time.Second + 20*usual.median(); took.worst() > limit {
		t.Errorf("an order moved on only after %v, more than %v", took.worst(), limit)
	}
	p.audit(t)
}

// What a frozen replica had in hand is given to the other one meanwhile. When it
// thaws, it does all that again, and nothing happens twice.
func TestAReplicaThatThawsDoesNothingTwice(t *testing.T) {
	p := startPair(t)
	var took measured
	for _, replica := range []string{"a", "b"} {
		took = append(took, p.signal(t, replica, syscall.SIGSTOP))
		if err := p.replicas[replica].cmd.Process.Signal(syscall.SIGCONT); err != nil {
			t.Fatal(err)
		}
		p.moveOn(p.witnesses, p.moved)
	}
	t.Logf("from the freeze until orders move on, %v", took)
	p.audit(t)
}
