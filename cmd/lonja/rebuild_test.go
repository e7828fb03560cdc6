package main

import (
	"os/exec"
	"regexp"
	"strings"
	"testing"
)

func TestViewsAreRebuiltInTheRunningShop(t *testing.T) {
	p, s := up(t, "--data", t.TempDir())
	s.boss().sells("71053", 339, 10)
	out := runOnce(t, "rebuild", "catalog", "--nats", p.said["nats"])
	if !regexp.MustCompile(`(?m)^catalog replica a, view shelf: done, 1 facts in \d+\.\d\d s \(\d+/s\), \d+\.\d MB$`).MatchString(out) {
		t.Errorf("said\n%s", out)
	}
	out = runOnce(t, "rebuild", "orders", "--nats", p.said["nats"])
	for _, view := range []string{"book", "offers"} {
		if !strings.Contains(out, "view "+view+": done") {
			t.Errorf("said\n%s", out)
		}
	}
	for _, wrong := range []struct{ args, says string }{
		{"rebuild nothing", "there is no service"},
		{"rebuild catalog nothing", "there is no such view"},
	} {
		out, err := exec.Command(binary, append(strings.Fields(wrong.args), "--nats", p.said["nats"])...).CombinedOutput()
		if err == nil || !strings.Contains(string(out), wrong.says) {
			t.Errorf("%s: %v\n%s", wrong.args, err, out)
		}
	}
	s.boss().wants(200, "GET", "/api/products/71053", nil, nil)
	p.stop()
	nats := startNATS(t)
	if out, err := exec.Command(binary, "rebuild", "catalog", "--nats", nats).CombinedOutput(); err == nil || !strings.Contains(string(out), "lonja service catalog --nats "+nats) {
		t.Errorf("nobody is there: %v\n%s", err, out)
	}
}
