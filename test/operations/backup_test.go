package operations

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"lonja/events/query"
	"lonja/shop"
	"lonja/test/harness"
)

// natsCLI runs the nats command of the tools' module as the operator.
func natsCLI(d *harness.Servers, args ...string) string {
	d.T.Helper()
	tool := []string{"tool", "-modfile=../../tools/go.mod", "nats", "-s", d.URL(), "--no-context",
		"--nkey", filepath.Join(d.Dir, "keys", shop.Operator, "seed"), "--inbox-prefix", "_INBOX." + shop.Operator}
	out, err := exec.Command("go", append(tool, args...)...).CombinedOutput()
	if err != nil {
		d.T.Fatalf("nats %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return string(out)
}

// TestBackup_RestoresTheSameShopIntoAnEmptyServer follows docs/operate.md. Only the
// streams are backed up, KEYS apart from the others. Views and shared consumers are
// rebuilt, and every reaction runs again, which changes nothing.
func TestBackup_RestoresTheSameShopIntoAnEmptyServer(t *testing.T) {
	before, data, backups := harness.StartServers(t, []string{"nats"}), t.TempDir(), t.TempDir()
	backup, keys := filepath.Join(backups, "streams"), filepath.Join(backups, "keys")
	s, processes := before.OpenShop(data, "a")
	harness.Story(t, s)
	eve := s.As("eve")
	waiting := eve.Places(harness.Pieces("71053", 1))
	was := before.Audit(data)
	natsCLI(before, "backup", "account", "--no-consumers", "--force", backup)
	if err := os.RemoveAll(filepath.Join(backup, "KEYS")); err != nil {
		t.Fatal(err)
	}
	natsCLI(before, "backup", "stream", "--no-consumers", "KEYS", keys)
	for _, p := range processes {
		p.Stop()
	}
	before.Kill("nats")

	after, fresh := harness.StartServers(t, []string{"nats"}), t.TempDir()
	natsCLI(after, "backup", "restore", "account", backup)
	natsCLI(after, "backup", "restore", "stream", keys)
	s, _ = after.OpenShop(fresh, "a")
	eve.Shop = s // her token is still valid
	if o := eve.Sees(waiting.ID, func(o query.OrderView) bool { return o.Payment != nil }); o.Status != query.AwaitingPayment {
		t.Fatalf("the order that waited is %+v", o)
	}
	if is := after.Audit(fresh); counts(is) != counts(was) {
		t.Errorf("restored, the log is another one:\n%s\nwas\n%s", is, was)
	}
	// The restored shop continues to work.
	eve.Pays(eve.Sees(waiting.ID, func(o query.OrderView) bool { return o.Payment != nil }))
	if o := s.As("fay").Places(harness.Pieces("71053", 1)); o.Status != query.AwaitingPayment {
		t.Errorf("a new order is %+v", o)
	}
	after.Audit(fresh)
}

// counts returns the counts of an audit: streams, events and orders.
func counts(audit string) string {
	_, summary, _ := strings.Cut(audit, "STREAM ")
	lines := slices.DeleteFunc(strings.Split(summary, "\n"), func(line string) bool { return strings.Contains(line, "/a/") })
	return strings.Join(lines, "\n")
}
