package story

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"lonja/events"
	"lonja/events/query"
	"lonja/test/harness"
)

// size is how many bytes JetStream keeps of a message: its headers, as they are stored,
// and its body.
type size struct{ headers, body int }

// limits is the most that an event may take, headers and body, as this test makes it. There is
// some room, since numbers in headers grow and times vary.
var limits = map[string]int{
	"order.placed":           1000, // of two lines
	"order.awaiting_payment": 610,
	"order.paid":             715,
	"order.shipped":          625,
	"order.delivered":        625,
	"order.cancelled":        665,
	"order.refund_requested": 860, // of one line, with a reason

	"payment.requested":      790,
	"payment.captured":       730,
	"payment.attempt_failed": 720,
	"payment.retried":        760,
	"payment.expired":        620,
	"payment.voided":         620,
	"payment.refunded":       725, // in part

	"payment.refund_requested": 735,

	"receipt.issued":   590,
	"receipt.credited": 640,

	"stock.counted":   610,
	"stock.adjusted":  635,
	"stock.reserved":  665,
	"stock.refused":   610,
	"stock.committed": 620,
	"stock.released":  645,
	"stock.returned":  620,
	"stock.restocked": 720,

	"product.created":  635,
	"product.changed":  655,
	"product.archived": 565,
	"product.restored": 655,

	"user.registered":       960,
	"user.roles_changed":    650,
	"user.password_changed": 895,
	"user.email_claimed":    1040,
	"user.email_changed":    835,
	"user.email_released":   620,
	"user.profile_changed":  790,
	"user.erased":           675,
	"login.started":         960,
	"login.refreshed":       1000,
	"login.ended":           1010,
	"realm.opened":          645,
	"realm.key_added":       785,
	"realm.admin_appointed": 520,
}

// TestSizes_StayWithinTheirLimits reads every event of a shop's life as the streams hold
// it. Events are kept for ever, so a header more costs as much as the shop has events.
func TestSizes_StayWithinTheirLimits(t *testing.T) {
	p, s := harness.Up(t, "--data", t.TempDir(), "--reservation-ttl", "4s", "--payment-deadline", "3s")
	liveOnce(t, s, p.Said["nats"])
	var largest map[string]size
	harness.Eventually(t, func() error { // reactions record the last of them
		largest = sizesOf(t, p.Said["nats"])
		for name := range limits {
			if _, recorded := largest[name]; !recorded {
				return fmt.Errorf("no %s was recorded: let liveOnce make one, or take it out of limits", name)
			}
		}
		return nil
	})
	p.Stop()
	var table strings.Builder
	fmt.Fprintf(&table, "%-24s %8s %6s %6s\n", "event", "headers", "body", "all")
	for _, name := range slices.Sorted(maps.Keys(largest)) {
		is := largest[name]
		fmt.Fprintf(&table, "%-24s %8d %6d %6d\n", name, is.headers, is.body, is.headers+is.body)
		if all, limit := is.headers+is.body, limits[name]; all > limit {
			t.Errorf("%s takes %d bytes, more than the %d of limits: what has been added to it is stored with every such event for ever", name, all, limit)
		}
	}
	t.Logf("bytes of the largest event of each name:\n%s", &table)
}

// liveOnce makes the shop record an event of every type. Server is its NATS address.
func liveOnce(t *testing.T, s *harness.Shop, server string) {
	boss := s.Boss()
	for sku, name := range map[string]string{"85123A": "White hanging heart", "71053": "White metal lantern"} {
		boss.Wants(201, "POST", "/api/products", map[string]any{"sku": sku, "name": name, "price": events.Money{Amount: 295, Currency: "GBP"}}, nil)
		boss.Wants(200, "PUT", "/api/products/"+sku+"/stock", map[string]any{"on_hand": 100}, nil)
	}
	boss.Wants(200, "POST", "/api/products/71053/stock/adjustments", map[string]any{"delta": -1, "reason": "broken"}, nil)
	boss.Wants(200, "PATCH", "/api/products/71053", map[string]string{"category": "light"}, nil)

	ana := s.As("ana")
	two := []events.Quantity{harness.Pieces("85123A", 2), harness.Pieces("71053", 1)}
	expires := ana.Places(two...) // nobody pays
	sent := ana.Pays(ana.Places(two...))
	ana.Cancels(ana.TriesAgain(ana.Declines(ana.Places(two...))))
	returned := ana.Pays(ana.Places(two...))
	ana.Places(harness.Pieces("71053", 1000))
	for _, status := range []string{"shipped", "delivered"} {
		boss.Wants(200, "PATCH", "/api/orders/"+string(sent.ID), map[string]string{"status": status}, nil)
	}
	boss.Wants(201, "POST", "/api/orders/"+string(returned.ID)+"/refunds",
		map[string]any{"lines": []map[string]any{{"sku": "85123A", "quantity": 1, "restock": true}}, "reason": "arrived broken"}, nil)
	ana.Sees(returned.ID, func(o query.OrderView) bool { return o.Refunded != nil })
	ana.Wants(200, "PATCH", "/api/orders/"+string(returned.ID), map[string]string{"status": "cancelled"}, nil)
	ana.Sees(returned.ID, func(o query.OrderView) bool { return o.Payment.Status == query.PaymentRefunded })
	ana.Sees(expires.ID, func(o query.OrderView) bool { return o.Status == query.Cancelled })
	withdrawn := ana.Places(two...)
	ana.Wants(200, "PATCH", "/api/orders/"+string(withdrawn.ID), map[string]string{"status": "cancelled"}, nil)
	ana.Sees(withdrawn.ID, func(o query.OrderView) bool { return o.Payment.Status == query.PaymentVoided })
	boss.Wants(204, "DELETE", "/api/products/71053", nil, nil)
	boss.Wants(200, "PATCH", "/api/products/71053", map[string]any{"available": true}, nil)

	ana.Refreshes()
	ana.LogsOut()
	ben := s.As("ben")
	var users query.List[query.UserView]
	boss.Wants(200, "GET", "/api/users", nil, &users)
	ben.Refreshes()
	for _, u := range users.Data {
		if u.Name == "ben" {
			boss.Wants(200, "PUT", "/api/users/"+string(u.ID)+"/roles", map[string]any{"roles": []string{"staff"}}, nil)
		}
	}
	password := filepath.Join(t.TempDir(), "password")
	if err := os.WriteFile(password, []byte("another long password"), 0o600); err != nil {
		t.Fatal(err)
	}
	harness.Run(t, "admin", "password", "--nats", server, "--email", "ben@example.com", "--password-file", password)
	eve := s.As("eve")
	eve.Wants(200, "PATCH", "/api/users/me", map[string]string{"name": "Eve", "locale": "es-MX"}, nil)
	eve.Wants(200, "PUT", "/api/users/me/email", map[string]string{"email": "eva@example.com", "password": "password of eve"}, nil)
	eve.Wants(204, "DELETE", "/api/users/me", map[string]string{"password": "password of eve"}, nil)
}

// sizesOf returns the size of the largest event of each name, such as "order.placed".
func sizesOf(t *testing.T, server string) map[string]size {
	t.Helper()
	nc, err := nats.Connect(server)
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	largest := map[string]size{}
	for _, s := range harness.Streams(t).Streams {
		if !strings.HasPrefix(s.Subjects[0], "events.") {
			continue
		}
		for seq := 1; ; seq++ {
			name, is, found := stored(t, nc, s.Name, seq)
			if !found {
				break
			}
			if was := largest[name]; is.headers+is.body > was.headers+was.body {
				largest[name] = is
			}
		}
	}
	return largest
}

// stored returns the name, without the version, and the size of one event of a stream.
func stored(t *testing.T, nc *nats.Conn, stream string, seq int) (name string, is size, found bool) {
	t.Helper()
	m, err := nc.Request("$JS.API.STREAM.MSG.GET."+stream, fmt.Appendf(nil, `{"seq":%d}`, seq), 5*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	var resp struct {
		Message *struct {
			Headers []byte `json:"hdrs"`
			Data    []byte `json:"data"`
		} `json:"message"`
	}
	if err := json.Unmarshal(m.Data, &resp); err != nil {
		t.Fatal(err)
	}
	if resp.Message == nil {
		return "", is, false
	}
	h, err := nats.DecodeHeadersMsg(resp.Message.Headers)
	if err != nil {
		t.Fatal(err)
	}
	name = strings.TrimPrefix(h.Get("ce-type"), "lonja.")
	return name[:strings.LastIndex(name, ".v")], size{len(resp.Message.Headers), len(resp.Message.Data)}, true
}
