package operations

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/micro"

	"lonja/kit/natsauth"
	"lonja/shop"
	"lonja/test/harness"
)

// With --sync group, services and a gateway of another process work on the server of lonja up:
// they ask it when something is on the disk.
func TestSyncGroup_ServicesOfAnotherProcess(t *testing.T) {
	data := t.TempDir()
	up, _ := harness.Up(t, "--data", data, "--sync", "group", "--nats-auth")
	at := []string{"--nats", up.Said["nats"], "--nats-keys", filepath.Join(data, "keys")}
	services := append(harness.ServicesOn(t.TempDir(), "catalog", "identity", "inventory", "orders", "payments", "receipts"),
		"--replica", "b", "--sandbox", "--kek-file", filepath.Join(data, "kek"))
	harness.Start(t, append(services, at...)...)
	gateway := harness.Start(t, append(harness.GatewayOn(harness.FreeAddr(t)), at...)...)
	s := harness.At(t, gateway.Said["shop"])
	s.AwaitReady()
	harness.Story(t, s)

	nc, err := nats.Connect(up.Said["nats"], asOperator(t, data)...)
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	harness.Eventually(t, func() error {
		s.Boss().Wants(200, "GET", "/api/orders", nil, nil)
		if n := answering(t, nc, "orders"); n < 2 {
			return fmt.Errorf("%d replicas of orders answer queries", n)
		}
		return nil
	})
	harness.Within(t, 30*time.Second, func() error {
		out, err := harness.Command(t, append([]string{"audit", "--settled", "--data", data}, at...)...).CombinedOutput()
		if err != nil {
			return fmt.Errorf("lonja audit: %w\n%s", err, out)
		}
		return nil
	})
}

// answering returns how many replicas of a service have answered a query.
func answering(t *testing.T, nc *nats.Conn, service string) (n int) {
	t.Helper()
	inbox := nc.NewRespInbox()
	answers, err := nc.SubscribeSync(inbox)
	if err != nil {
		t.Fatal(err)
	}
	if err := nc.PublishRequest("$SRV.STATS."+service, inbox, nil); err != nil {
		t.Fatal(err)
	}
	for {
		m, err := answers.NextMsg(500 * time.Millisecond)
		if err != nil {
			return n // there is no other one
		}
		var stats micro.Stats
		if err := json.Unmarshal(m.Data, &stats); err != nil {
			t.Fatal(err)
		}
		for _, e := range stats.Endpoints {
			if e.NumRequests > 0 {
				n++
				break
			}
		}
	}
}

// asOperator returns the options of the operator's connection to lonja up --nats-auth.
func asOperator(t *testing.T, data string) []nats.Option {
	t.Helper()
	key, err := nats.NkeyOptionFromSeed(filepath.Join(data, "keys", shop.Operator, "seed"))
	if err != nil {
		t.Fatal(err)
	}
	return []nats.Option{key, nats.CustomInboxPrefix(natsauth.InboxPrefix(shop.Operator))}
}
