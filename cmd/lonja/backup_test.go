package main

import (
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"lonja/events/query"
)

// natsCLI runs the nats command of the tools' module as the operator.
func (d *natsd) natsCLI(args ...string) string {
	d.t.Helper()
	tool := []string{"tool", "-modfile=../../tools/go.mod", "nats", "-s", d.url(), "--no-context",
		"--nkey", filepath.Join(d.dir, "keys", operator, "seed"), "--inbox-prefix", "_INBOX." + operator}
	out, err := exec.Command("go", append(tool, args...)...).CombinedOutput()
	if err != nil {
		d.t.Fatalf("nats %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return string(out)
}

// TestABackupRestoredIntoAnEmptyServerIsTheSameShop does what docs/operate.md
// says: the streams are all that is backed up. Views and shared consumers are made
// anew, and every reaction runs again, which changes nothing.
func TestABackupRestoredIntoAnEmptyServerIsTheSameShop(t *testing.T) {
	before, data, backup := startNATSServers(t, []string{"nats"}), t.TempDir(), filepath.Join(t.TempDir(), "backup")
	s, processes := before.openShop(data, "a")
	story(t, s)
	eve := s.as("eve")
	waiting := eve.places(pieces("71053", 1))
	was := before.audit(data)
	before.natsCLI("backup", "account", "--no-consumers", "--force", backup)
	for _, p := range processes {
		p.stop()
	}
	before.kill("nats")

	after, fresh := startNATSServers(t, []string{"nats"}), t.TempDir()
	after.natsCLI("backup", "restore", "account", backup)
	s, _ = after.openShop(fresh, "a")
	eve.shop = s // her token is as good as it was
	if o := eve.sees(waiting.ID, func(o query.OrderView) bool { return o.Payment != nil }); o.Status != query.AwaitingPayment {
		t.Fatalf("the order that waited is %+v", o)
	}
	if is := after.audit(fresh); counts(is) != counts(was) {
		t.Errorf("restored, the log is another one:\n%s\nwas\n%s", is, was)
	}
	// And it goes on from there.
	eve.pays(eve.sees(waiting.ID, func(o query.OrderView) bool { return o.Payment != nil }))
	if o := s.as("fay").places(pieces("71053", 1)); o.Status != query.AwaitingPayment {
		t.Errorf("a new order is %+v", o)
	}
	after.audit(fresh)
}

// counts is what an audit counted: streams, events and orders.
func counts(audit string) string {
	_, summary, _ := strings.Cut(audit, "STREAM ")
	lines := slices.DeleteFunc(strings.Split(summary, "\n"), func(line string) bool { return strings.Contains(line, "/a/") })
	return strings.Join(lines, "\n")
}
