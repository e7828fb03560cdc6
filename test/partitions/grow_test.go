package partitions

import (
	"fmt"
	"path/filepath"
	"slices"
	"testing"

	"lonja/events"
	"lonja/events/query"
	"lonja/test/harness"
)

// A shop grows twice, each time with orders in every state. Those go on where they are, new ones are
// spread, and a command that comes again gets its first answer.
func TestPartitions_GrowWithOrdersUnderWay(t *testing.T) {
	data := t.TempDir()
	var open []query.OrderView // await their payment
	var last query.OrderView   // of the shop before it grew
	for n := 1; n <= 3; n++ {
		p, s := harness.Up(t, "--data", data, "--partitions", spread(n))
		if n == 1 {
			s.Boss().Sells("22423", 1275, 1000)
			s.As("eve")
		}
		boss, eve := s.Boss(), s.LogIn("eve@example.com", "password of eve")
		for i, o := range open {
			endAs(t, boss, eve, o, i)
		}
		if n > 1 {
			if again := placeWithKey(eve, n-1); again.ID != last.ID || again.CreatedAt != last.CreatedAt {
				t.Errorf("with %d partitions, the order is placed again: %+v, first %+v", n, again, last)
			}
			wantOnAll(t, p.Said["nats"], partitionNames("PAYMENTS", n-1)...)
		}
		last = placeWithKey(eve, n)
		open = placeMany(t, eve, 24)
		if n > 1 {
			wantSomeOn(t, p.Said["nats"], fmt.Sprintf("ORDERS-%d", n-1))
		}
		wantClean(t, p.Said["nats"], data)
		if n == 3 {
			for _, o := range open {
				eve.Pays(o)
			}
			for _, name := range []string{"orders", "inventory", "payments"} {
				harness.Run(t, "rebuild", name, "--nats", p.Said["nats"])
			}
			wantClean(t, p.Said["nats"], data)
		}
		p.Stop()
	}
	// Each restart found the views' files and did not build them again.
	for _, service := range []string{"orders", "inventory", "payments"} {
		if files, err := filepath.Glob(filepath.Join(data, service, "a", "*.db")); err != nil || len(files) == 0 {
			t.Errorf("service %s has no views: %v, %v", service, files, err)
		}
	}
}

// endAs ends an open order in one of the ways in which orders end.
func endAs(t *testing.T, boss, by *harness.Person, o query.OrderView, way int) {
	t.Helper()
	change := func(who *harness.Person, status string) {
		who.Wants(200, "PATCH", "/api/orders/"+string(o.ID), map[string]string{"status": status}, nil)
	}
	switch way % 5 {
	case 0:
		by.Cancels(by.Declines(o))
	case 1:
		change(by, query.Cancelled)
	case 2:
		by.Pays(o)
		change(by, query.Cancelled)
		by.Sees(o.ID, func(o query.OrderView) bool { return o.Payment.Status == query.PaymentRefunded })
	default:
		by.Pays(o)
		change(boss, query.Shipped)
		change(boss, query.Delivered)
		harness.WantTimeline(t, by, o.ID, "order.placed", "stock.reserved", "order.awaiting_payment", "payment.requested",
			"payment.captured", "order.paid", "stock.committed", "order.shipped", "order.delivered")
	}
}

// placeWithKey places an order with an Idempotency-Key.
func placeWithKey(by *harness.Person, n int) (o query.OrderView) {
	by.T.Helper()
	by.Wants(201, "POST", "/api/orders", map[string]any{"items": []events.Quantity{harness.Pieces("22423", 2)}}, &o,
		"Prefer", "wait=10", "Idempotency-Key", fmt.Sprintf("key-%d-of-eve", n))
	return o
}

func partitionNames(stream string, n int) []string {
	names := []string{stream}
	for k := 1; k < n; k++ {
		names = append(names, fmt.Sprintf("%s-%d", stream, k))
	}
	return slices.Clip(names)
}

// wantSomeOn checks that a partition has events.
func wantSomeOn(t *testing.T, url, stream string) {
	t.Helper()
	if has := messagesOn(t, connect(t, url), stream)[stream]; has == 0 {
		t.Errorf("%s has no events", stream)
	}
}
