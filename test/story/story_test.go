package story

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"lonja/events/query"
	"lonja/shop"
	"lonja/test/harness"
)

func TestStory_InOneProcess(t *testing.T) {
	p, s := harness.Up(t, "--data", t.TempDir())
	harness.Story(t, s)
	harness.RefundStory(t, s)
	s.Boss().Sells("22423", 1275, 1)
	eve := s.As("eve")
	o := eve.Sees(eve.Places(harness.Pieces("22423", 1)).ID, func(o query.OrderView) bool { return o.Payment != nil })
	req, err := http.NewRequestWithContext(t.Context(), "GET", s.URL+"/api/orders/"+string(o.ID), nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Host = "evil.example" // a foreign Host header must not appear in the payment link
	req.Header.Set("Authorization", "Bearer "+eve.Token)
	resp, err := s.HTTPClient().Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if err := json.NewDecoder(resp.Body).Decode(&o); err != nil || !strings.HasPrefix(o.Payment.URL, s.URL) {
		t.Errorf("where to pay: %+v (%v)", o.Payment, err)
	}
	p.Stop()
}

func TestStory_AsSeparateProcessesWithTwoReplicas(t *testing.T) {
	nats := harness.StartNATS(t)
	against := func(args ...string) *harness.Process { return harness.Start(t, append(args, "--nats", nats)...) }
	harness.Run(t, "streams", "apply", "--nats", nats)
	var all []*harness.Process
	for _, name := range shop.Names() {
		for _, replica := range []string{"a", "b"} {
			all = append(all, against(append(harness.ServicesOn(t.TempDir(), name), "--replica", replica, "--sandbox")...))
		}
	}
	gateway, other := against(harness.GatewayOn(harness.FreeAddr(t))...), against(harness.GatewayOn(harness.FreeAddr(t))...)
	harness.Story(t, harness.At(t, gateway.Said["shop"]))
	harness.RefundStory(t, harness.At(t, gateway.Said["shop"]))
	harness.At(t, other.Said["shop"]).Boss()
	for _, p := range append(all, gateway, other) {
		p.Stop()
	}
}
