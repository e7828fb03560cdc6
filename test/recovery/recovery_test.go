package recovery

import (
	"encoding/json"
	"fmt"
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
	"lonja/test/harness"
)

// durations holds repeated measurements.
type durations []time.Duration

func (m durations) worst() time.Duration { return slices.Max(m) }

func (m durations) median() time.Duration {
	sorted := slices.Sorted(slices.Values(m))
	return sorted[len(sorted)/2]
}

func (m durations) String() string {
	return fmt.Sprintf("%d times: median %v, worst %v", len(m), m.median().Round(time.Millisecond), m.worst().Round(time.Millisecond))
}

// measureProgress places one order for each buyer at once, and measures how long it
// takes until inventory and orders have reacted to the last of them. It ignores
// orders that were deferred because the service died before it answered.
func measureProgress(s *harness.Shop, buyers []*harness.Person, moved func(*harness.Person, events.OrderID) error) time.Duration {
	s.T.Helper()
	times := make(durations, len(buyers))
	var buying sync.WaitGroup
	for i, b := range buyers {
		buying.Go(func() {
			began := time.Now()
			var o query.OrderView
			a, err := b.Do("POST", "/api/orders", harness.Order("71053", 1))
			if err != nil || a.Status != 201 && a.Status != 202 || json.Unmarshal(a.Body, &o) != nil {
				s.T.Errorf("%s places an order: %d %s, %v", b.Name, a.Status, a.Body, err)
			} else if a.Status == 201 {
				if err := harness.TryWithin(time.Minute, func() error { return moved(b, o.ID) }); err != nil {
					s.T.Error(err)
				}
				times[i] = time.Since(began)
			}
		})
	}
	buying.Wait()
	if times.worst() == 0 {
		s.T.Fatal("nobody could place an order")
	}
	return times.worst()
}

// orderProgressed returns nil when a customer sees that an order has progressed.
func orderProgressed(p *harness.Person, id events.OrderID) error {
	var o query.OrderView
	a, err := p.Do("GET", "/api/orders/"+string(id), nil)
	if err == nil {
		err = json.Unmarshal(a.Body, &o)
	}
	if err != nil || a.Status != 200 || o.Status == query.Placed {
		return fmt.Errorf("order %s is still %s: %d, %v", id, o.Status, a.Status, err)
	}
	return nil
}

// A shop that was killed continues as soon as it is ready. No message waits until
// the ack wait of the dead process ends.
func TestKill_OrdersProgressOnceReady(t *testing.T) {
	const rounds, customers = 5, 8
	data := t.TempDir()
	p, s := harness.Up(t, "--data", data)
	s.Boss().Sells("71053", 339, 1_000_000)
	buyers := make([]*harness.Person, customers)
	for i := range buyers {
		buyers[i] = s.As(fmt.Sprintf("buyer%d", i))
	}
	tried := make([][]harness.Attempt, customers)
	var first, usual durations
	for round := range rounds {
		crashWhileBuying(p, buyers, tried, round)
		p, s = harness.Up(t, "--data", data)
		for _, b := range buyers {
			b.Shop = s
		}
		first = append(first, measureProgress(s, buyers, orderProgressed))
		for range 5 {
			usual = append(usual, measureProgress(s, buyers, orderProgressed))
		}
	}
	t.Logf("from ready until the first order moves on, %v; later orders, %v", first, usual)
	if limit := time.Second + 20*usual.median(); first.worst() > limit {
		t.Errorf("the first order moved on only after %v, more than %v", first.worst(), limit)
	}
}

// replicaPair is a shop with two processes that each serve a replica of inventory
// and orders.
type replicaPair struct {
	*harness.Shop
	url, data         string
	orders            jetstream.Stream
	replicas          map[string]*harness.Process
	buyers, witnesses []*harness.Person
}

func startReplicaPair(t *testing.T) *replicaPair {
	t.Helper()
	p := &replicaPair{url: harness.StartNATS(t), data: t.TempDir(), replicas: map[string]*harness.Process{}}
	harness.Run(t, "streams", "apply", "--nats", p.url)
	harness.Start(t, append(harness.ServicesOn(p.data, "catalog", "identity", "payments", "receipts"), "--nats", p.url)...)
	for _, name := range []string{"a", "b"} {
		p.run(t, name)
	}
	gateway := harness.Start(t, append(harness.GatewayOn(harness.FreeAddr(t)), "--nats", p.url)...)
	p.Shop = harness.At(t, gateway.Said["shop"])
	p.AwaitReady()
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
	p.Boss().Sells("71053", 339, 1_000_000)
	for i := range 8 {
		p.buyers = append(p.buyers, p.As(fmt.Sprintf("buyer%d", i)))
		p.witnesses = append(p.witnesses, p.As(fmt.Sprintf("witness%d", i)))
	}
	return p
}

func (p *replicaPair) run(t *testing.T, replica string) {
	t.Helper()
	p.replicas[replica] = harness.Start(t, append(harness.ServicesOn(p.data, "inventory", "orders"), "--replica", replica, "--nats", p.url)...)
}

// signal sends a replica a signal under load, and measures how long it takes until
// orders that are placed right after it progress.
func (p *replicaPair) signal(t *testing.T, replica string, signal syscall.Signal) time.Duration {
	t.Helper()
	var buying sync.WaitGroup
	var placed atomic.Int64
	var over atomic.Bool
	for _, b := range p.buyers {
		buying.Go(func() {
			for !over.Load() {
				if a, err := b.Do("POST", "/api/orders", harness.Order("71053", 1)); err == nil && a.Status == 201 {
					placed.Add(1)
				}
			}
		})
	}
	harness.Eventually(t, func() error {
		if n := placed.Load(); n < 200 {
			return fmt.Errorf("only %d orders are placed", n)
		}
		return nil
	})
	if err := p.replicas[replica].Cmd.Process.Signal(signal); err != nil {
		t.Fatal(err)
	}
	over.Store(true)
	if signal == syscall.SIGKILL {
		<-p.replicas[replica].Exited
	}
	took := measureProgress(p.Shop, p.witnesses, p.progressed)
	buying.Wait()
	return took
}

// progressed returns nil when the log shows that an order has progressed. It does
// not ask the services, because a killed replica loses queries.
func (p *replicaPair) progressed(_ *harness.Person, id events.OrderID) error {
	last, err := p.orders.GetLastMsgForSubject(p.T.Context(), "events.order."+string(id)+".>")
	if err == nil && strings.HasSuffix(last.Subject, ".placed") {
		err = fmt.Errorf("order %s has not moved on", id)
	}
	return err
}

// audit fails the test unless the shop becomes idle and the audit finds no violation.
func (p *replicaPair) audit(t *testing.T) {
	t.Helper()
	harness.Within(t, time.Minute, func() error {
		out, err := harness.Command(t, "audit", "--settled", "--nats", p.url, "--data", p.data).CombinedOutput()
		if err != nil {
			return fmt.Errorf("lonja audit: %w\n%s", err, out)
		}
		return nil
	})
}

// The other replica soon takes over the messages in flight of a killed replica, and
// its lock on the stock.
func TestKill_AnotherReplicaTakesOver(t *testing.T) {
	p := startReplicaPair(t)
	var took, usual durations
	for round := range 6 {
		usual = append(usual, measureProgress(p.Shop, p.witnesses, p.progressed))
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

// The messages in flight of a frozen replica are redelivered to the other one. When
// the replica is resumed, it handles them again, and nothing happens twice.
func TestFreeze_AResumedReplicaRepeatsNothing(t *testing.T) {
	p := startReplicaPair(t)
	var took durations
	for _, replica := range []string{"a", "b"} {
		took = append(took, p.signal(t, replica, syscall.SIGSTOP))
		if err := p.replicas[replica].Cmd.Process.Signal(syscall.SIGCONT); err != nil {
			t.Fatal(err)
		}
		measureProgress(p.Shop, p.witnesses, p.progressed)
	}
	t.Logf("from the freeze until orders move on, %v", took)
	p.audit(t)
}
