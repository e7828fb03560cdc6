package partitions

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"lonja/events/query"
	"lonja/test/harness"
)

// spread is what a shop is started with whose streams have n partitions.
func spread(n int) string {
	return fmt.Sprintf("ORDERS=%d,INVENTORY=%d,PAYMENTS=%d,RECEIPTS=%d", n, n, n, n)
}

func TestPartitions_OfAWholeShop(t *testing.T) {
	data := t.TempDir()
	p, s := harness.Up(t, "--data", data, "--partitions", spread(2))
	harness.Story(t, s)
	boss := s.Boss()
	boss.Sells("22423", 1275, 1000)
	eve := s.As("eve")
	placed := placeMany(t, eve, 20)
	wantOnAll(t, p.Said["nats"], "ORDERS", "ORDERS-1")
	wantOnAll(t, p.Said["nats"], "PAYMENTS", "PAYMENTS-1")
	wantNewestFirst(t, eve, placed)
	harness.WantTimeline(t, eve, placed[0].ID, "order.placed", "stock.reserved", "order.awaiting_payment", "payment.requested")
	for _, name := range []string{"orders", "inventory", "payments", "receipts"} {
		harness.Run(t, "rebuild", name, "--nats", p.Said["nats"])
	}
	wantClean(t, p.Said["nats"], data)
	timeline := harness.Run(t, "timeline", string(placed[1].ID), "--nats", p.Said["nats"])
	if !strings.Contains(timeline, "payment.requested") {
		t.Errorf("the timeline is\n%s", timeline)
	}
	p.Stop()

	p, s = harness.Up(t, "--data", data, "--sync", "group") // the layout is in the log
	eve = s.LogIn("eve@example.com", "password of eve")
	for _, o := range placed {
		eve.Pays(o)
	}
	wantNewestFirst(t, eve, placed)
	wantClean(t, p.Said["nats"], data)
	p.Stop()
}

// placeMany places orders one after the other.
func placeMany(t *testing.T, by *harness.Person, n int) (placed []query.OrderView) {
	t.Helper()
	for range n {
		o := by.Places(harness.Pieces("22423", 1))
		if o.Status != query.AwaitingPayment {
			t.Fatalf("placed %+v", o)
		}
		placed = append(placed, o)
	}
	return placed
}

// wantOnAll checks that each of the streams has events, and none of them nearly all.
func wantOnAll(t *testing.T, url string, streams ...string) {
	t.Helper()
	total, has := uint64(0), messagesOn(t, connect(t, url), streams...)
	for _, n := range has {
		total += n
	}
	for name, n := range has {
		if n == 0 || len(streams) > 1 && n*20 > total*19 {
			t.Errorf("%s has %d of %d events: %v", name, n, total, has)
		}
	}
}

func connect(t *testing.T, url string) *nats.Conn {
	t.Helper()
	nc, err := nats.Connect(url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	return nc
}

// messagesOn returns how many messages streams have.
func messagesOn(t *testing.T, nc *nats.Conn, streams ...string) map[string]uint64 {
	t.Helper()
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	has := map[string]uint64{}
	for _, name := range streams {
		stream, err := js.Stream(context.Background(), name)
		if err != nil {
			t.Fatal(err)
		}
		has[name] = stream.CachedInfo().State.Msgs
	}
	return has
}

// wantNewestFirst checks that a customer's list has the orders that they placed, the newest first. Those that
// were placed within a moment may be the other way around if they are on two partitions.
func wantNewestFirst(t *testing.T, by *harness.Person, placed []query.OrderView) {
	t.Helper()
	var list struct {
		Data []query.OrderView `json:"data"`
	}
	by.Wants(200, "GET", "/api/orders?limit=100", nil, &list)
	if len(list.Data) != len(placed) {
		t.Fatalf("the list has %d orders, not %d", len(list.Data), len(placed))
	}
	const near = 12 // places that an order may be off
	for i, o := range list.Data {
		at := -1
		for j := range placed {
			if placed[len(placed)-1-j].ID == o.ID {
				at = j
			}
		}
		if at < 0 || at < i-near || at > i+near {
			t.Errorf("order %d of the list was placed as the last but %d", i, at)
		}
	}
}

// wantClean audits the shop. Reactions may be under way.
func wantClean(t *testing.T, url, data string) {
	t.Helper()
	harness.Run(t, "audit", "--nats", url, "--data", data) // fails if there is a violation
}
