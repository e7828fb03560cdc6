package operations

import (
	"encoding/json"
	"errors"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"lonja/audit"
	"lonja/events"
	"lonja/events/query"
	"lonja/kit/eventlog"
	"lonja/test/harness"
)

func TestAuditAndTimeline_OfARunningShop(t *testing.T) {
	data := t.TempDir()
	p, s := harness.Up(t, "--data", data)
	boss := s.Boss()
	boss.Sells("71053", 339, 10)
	var o query.OrderView
	s.As("ana").Wants(201, "POST", "/api/orders", harness.Order("71053", 2), &o, "Prefer", "wait=10")

	var clean audit.Report
	code, out := runToEnd(t, "audit", "--nats", p.Said["nats"], "--data", data, "--json")
	if err := json.Unmarshal([]byte(out), &clean); code != 0 || err != nil || len(clean.Views) != 9 {
		t.Fatalf("exit code %d, %v:\n%s", code, err, out)
	}
	code, out = runToEnd(t, "timeline", string(o.ID), "--nats", p.Said["nats"])
	if code != 0 || strings.Count(out, string(o.ID)) != 0 || !strings.Contains(out, "  order.awaiting_payment") || strings.Contains(out, "\x1b") {
		t.Errorf("exit code %d:\n%s", code, out)
	}
	if code, out = runToEnd(t, "timeline", "ord_unknown", "--nats", p.Said["nats"]); code != 1 || !strings.Contains(out, "no order, payment, product or user has this id") {
		t.Errorf("exit code %d:\n%s", code, out)
	}

	forge(t, p.Said["nats"], events.OrderDelivered{OrderID: o.ID})
	code, out = runToEnd(t, "audit", "--nats", p.Said["nats"], "--data", data)
	if want := "order " + string(o.ID) + ": delivered after awaiting_payment; expected after shipped\n"; code != 1 || !strings.Contains(out, want) {
		t.Errorf("exit code %d, want 1 and %q:\n%s", code, want, out)
	}
	p.Stop()
}

// runToEnd runs the program and returns its exit code and output.
func runToEnd(t *testing.T, args ...string) (code int, out string) {
	t.Helper()
	said, err := harness.Command(t, args...).CombinedOutput()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	if exit != nil {
		code = exit.ExitCode()
	}
	return code, string(said)
}

// forge appends an event that no service decided.
func forge(t *testing.T, url string, e events.Event) {
	t.Helper()
	nc, err := nats.Connect(url)
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	event, err := events.Encode(e)
	if err != nil {
		t.Fatal(err)
	}
	header := eventlog.Envelope{ID: eventlog.NewID(), Type: events.Type(e), Causation: eventlog.NewID(), Time: time.Now()}.Header()
	if _, err := nc.RequestMsg(&nats.Msg{Subject: events.Subject(e), Header: header, Data: event}, 5*time.Second); err != nil {
		t.Fatal(err)
	}
}
