package operations

import (
	"regexp"
	"strings"
	"testing"

	"lonja/test/harness"
)

func TestRebuild_OfARunningShop(t *testing.T) {
	p, s := harness.Up(t, "--data", t.TempDir())
	s.Boss().Sells("71053", 339, 10)
	out := harness.Run(t, "rebuild", "catalog", "--nats", p.Said["nats"])
	if !regexp.MustCompile(`(?m)^catalog replica a, view shelf: done, 1 events in \d+\.\d\d s \(\d+/s\), \d+\.\d MB$`).MatchString(out) {
		t.Errorf("said\n%s", out)
	}
	out = harness.Run(t, "rebuild", "orders", "--nats", p.Said["nats"])
	for _, view := range []string{"book", "offers"} {
		if !strings.Contains(out, "view "+view+": done") {
			t.Errorf("said\n%s", out)
		}
	}
	for _, wrong := range []struct{ args, says string }{
		{"rebuild nothing", "there is no service"},
		{"rebuild catalog nothing", "there is no such view"},
	} {
		out, err := harness.Command(t, append(strings.Fields(wrong.args), "--nats", p.Said["nats"])...).CombinedOutput()
		if err == nil || !strings.Contains(string(out), wrong.says) {
			t.Errorf("%s: %v\n%s", wrong.args, err, out)
		}
	}
	s.Boss().Wants(200, "GET", "/api/products/71053", nil, nil)
	p.Stop()
	nats := harness.StartNATS(t)
	if out, err := harness.Command(t, "rebuild", "catalog", "--nats", nats).CombinedOutput(); err == nil || !strings.Contains(string(out), "lonja service catalog --nats "+nats) {
		t.Errorf("nobody is there: %v\n%s", err, out)
	}
}
