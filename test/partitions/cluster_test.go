package partitions

import (
	"encoding/json"
	"flag"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"lonja/events"
	"lonja/events/query"
	"lonja/shop"
	"lonja/test/harness"
)

var runs = flag.Int("runs", 1, "how often two partitions are compared with one, in turn")

// Three servers with every stream on each: how many orders a second with two partitions, and with one.
// On a machine that all share, the figures show at most that two are not slower; which server leads
// what shows what they are for.
func TestPartitions_OnThreeServersComparedWithOne(t *testing.T) {
	for run := range *runs {
		for _, counts := range []string{"ORDERS=1,INVENTORY=1", "ORDERS=2,INVENTORY=2"} {
			d := harness.StartServers(t, harness.ThreeServers, "--partitions", counts)
			data := t.TempDir()
			s, processes := d.OpenShop(data, "a")
			s.Boss().Sells("22423", 1275, 1_000_000)
			l := &load{by: s.As("eve")}
			l.runFor(t, time.Second, "wait=10") // warm up
			waited := l.runFor(t, 3*time.Second, "wait=10")
			posted := l.runFor(t, 2*time.Second, "")
			t.Logf("run %d, %s: %.0f orders/s to awaiting_payment, %.0f POST/s; leaders %s", run, counts, waited, posted, leaders(d, counts))
			wantSpread(t, d, counts)
			d.Audit(data)
			for _, p := range processes {
				p.Stop()
			}
			for _, name := range harness.ThreeServers {
				d.Kill(name)
			}
		}
	}
}

// A server that leads a partition is killed while orders are placed. Every order that was acknowledged
// is carried on.
func TestPartitions_NothingIsLostWithAServer(t *testing.T) {
	d := harness.StartServers(t, harness.ThreeServers, "--partitions", spread(2))
	data := t.TempDir()
	s, processes := d.OpenShop(data, "a")
	s.Boss().Sells("22423", 1275, 1_000_000)
	l := &load{by: s.As("eve")}
	l.runFor(t, time.Second, "")
	gone := d.Leader("ORDERS-1")
	time.AfterFunc(time.Second, func() { d.Kill(gone) })
	l.runFor(t, 6*time.Second, "")
	d.Start(gone)
	d.AwaitHealthy(gone)
	s.AwaitReady()
	acknowledged := len(l.ids)
	l.runFor(t, time.Second, "")
	if acknowledged == 0 || len(l.ids) == acknowledged {
		t.Fatalf("%d orders were acknowledged, %d afterwards", acknowledged, len(l.ids)-acknowledged)
	}
	for _, id := range l.ids {
		l.by.Sees(id, func(o query.OrderView) bool { return o.Status == query.AwaitingPayment })
	}
	t.Logf("%d orders were acknowledged around the end of %s, and all await their payment", len(l.ids), gone)
	d.Audit(data)
	for _, p := range processes {
		p.Stop()
	}
}

// load places orders from several connections at once.
type load struct {
	by  *harness.Person
	mu  sync.Mutex
	ids []events.OrderID // that were acknowledged
}

const connections = 24

// runFor places orders for a time, and returns how many a second were acknowledged. An order that is not, as
// during an outage, is not placed again.
func (l *load) runFor(t *testing.T, d time.Duration, prefer string) (rate float64) {
	t.Helper()
	before, began := len(l.ids), time.Now()
	var running sync.WaitGroup
	for range connections {
		by := *l.by // a person is nobody's but one connection's
		running.Go(func() {
			for time.Since(began) < d {
				l.place(&by, prefer)
			}
		})
	}
	running.Wait()
	return float64(len(l.ids)-before) / time.Since(began).Seconds()
}

func (l *load) place(by *harness.Person, prefer string) {
	var headers []string
	if prefer != "" {
		headers = []string{"Prefer", prefer}
	}
	a, err := by.Do("POST", "/api/orders", map[string]any{"items": []events.Quantity{harness.Pieces("22423", 1)}}, headers...)
	if err != nil || a.Status != 201 {
		return
	}
	var o query.OrderView
	if json.Unmarshal(a.Body, &o) != nil {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.ids = append(l.ids, o.ID)
}

// leaders says which server leads which stream of events.
func leaders(d *harness.Servers, counts string) string {
	by := map[string][]string{}
	for _, stream := range append(namesOf(counts), "PAYMENTS") {
		server := d.Leader(stream)
		by[server] = append(by[server], stream)
	}
	var text []string
	for _, server := range slices.Sorted(maps.Keys(by)) {
		text = append(text, server+": "+strings.Join(by[server], " "))
	}
	return strings.Join(text, ", ")
}

// namesOf returns the streams of "ORDERS=2,INVENTORY=1".
func namesOf(counts string) (names []string) {
	for part := range strings.SplitSeq(counts, ",") {
		var n int
		stream, number, _ := strings.Cut(part, "=")
		_, _ = fmt.Sscan(number, &n)
		names = append(names, partitionNames(stream, n)...)
	}
	return names
}

// wantSpread checks that each partition of ORDERS has its share of the orders, as far as a few dozen
// orders can show.
func wantSpread(t *testing.T, d *harness.Servers, counts string) {
	t.Helper()
	names := slices.DeleteFunc(namesOf(counts), func(name string) bool { return !strings.HasPrefix(name, "ORDERS") })
	total, has := uint64(0), messagesOn(t, d.Connect(shop.Operator), names...)
	for _, n := range has {
		total += n
	}
	for name, n := range has {
		if share := float64(n) * float64(len(has)) / float64(total); share < 0.5 || share > 1.5 {
			t.Errorf("%s has %d of %d events", name, n, total)
		}
	}
}
