package security

import (
	"errors"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/nats-io/nats.go"

	"lonja/shop"
	"lonja/test/harness"
)

// TestNATSAuth_RejectsClientsWithoutAKey runs the whole story on a server that
// requires a key, and checks that a folder that was used without keys still works.
func TestNATSAuth_RejectsClientsWithoutAKey(t *testing.T) {
	data := t.TempDir()
	p, s := harness.Up(t, "--data", data)
	s.Boss().Sells("22423", 1275, 5)
	p.Stop()

	p, s = harness.Up(t, "--data", data, "--nats-auth")
	s.Boss().Wants(200, "GET", "/api/products/22423", nil, nil)
	harness.Story(t, s)
	keys, _, _ := strings.Cut(p.Said["keys"], " ")
	if nc, err := nats.Connect(p.Said["nats"]); !errors.Is(err, nats.ErrAuthorization) {
		nc.Close()
		t.Fatalf("somebody without a key may connect: %v", err)
	}
	seeds := 0
	err := filepath.WalkDir(keys, func(path string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := e.Info()
		if err == nil && info.Mode().Perm()&0o077 != 0 {
			t.Errorf("%s can be read by others: %v", path, info.Mode())
		}
		if e.Name() == "seed" {
			seeds++
		}
		return err
	})
	if err != nil || seeds != len(shop.Identities(harness.Config, harness.Streams(t))) {
		t.Errorf("%d seeds in %s: %v", seeds, keys, err)
	}

	// Each part connects with its own identity and its own permissions.
	seed := filepath.Join(keys, "orders", "seed")
	option, err := nats.NkeyOptionFromSeed(seed)
	if err != nil {
		t.Fatal(err)
	}
	nc, err := nats.Connect(p.Said["nats"], option, nats.ErrorHandler(func(*nats.Conn, *nats.Subscription, error) {}))
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	if err := errors.Join(nc.Publish("events.payment.pay_1.captured", nil), nc.Flush(), nc.LastError()); !errors.Is(err, nats.ErrPermissionViolation) {
		t.Errorf("orders may write what payments records: %v", err)
	}

	// The operator's commands require the key, report that, and find it in the folder
	// that up prints.
	code, said := harness.Ends(t, t.TempDir(), "timeline", "22423", "--nats", p.Said["nats"])
	if code == 0 || !strings.Contains(said, "--nats-keys") {
		t.Errorf("without a key: exit code %d, %q", code, said)
	}
	for _, args := range [][]string{{"timeline", "22423"}, {"audit", "--data", data}, {"deadletters", "list"}, {"rebuild", "orders"}, {"streams", "plan"}} {
		harness.Run(t, append(args, "--nats", p.Said["nats"], "--nats-keys", keys)...)
	}
	if said := taskNATS(t, p.Said["nats"], "DATA="+data, "--", "stream", "ls", "--names"); !strings.Contains(said, "ORDERS") {
		t.Errorf("task nats does not find the key:\n%s", said)
	}
	p.Stop()
	if said := p.Stderr(); strings.Contains(strings.ToLower(said), "violation") {
		t.Errorf("a part wanted what it may not:\n%s", said)
	}

	p, s = harness.Up(t, "--data", data) // and without keys again
	s.Boss().Wants(200, "GET", "/api/products/22423", nil, nil)
	if said := taskNATS(t, p.Said["nats"], "DATA="+t.TempDir(), "--", "stream", "ls", "--names"); !strings.Contains(said, "ORDERS") {
		t.Errorf("task nats needs a key:\n%s", said)
	}
	p.Stop()
}

// taskNATS runs ./task nats.
func taskNATS(t *testing.T, url string, args ...string) string {
	t.Helper()
	cmd := exec.Command(harness.Root(t)+"/task", append([]string{"nats", "NATS_URL=" + url}, args...)...)
	cmd.Env = append(os.Environ(), "XDG_CONFIG_HOME="+t.TempDir())
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("task nats %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return string(out)
}

// A server without authentication must listen on loopback only.
func TestUp_RejectsAnOpenNATSServerOnAPublicAddress(t *testing.T) {
	for _, addr := range []string{":0", "0.0.0.0:0", "[::]:0", "192.0.2.1:4222", "shop.example:4222"} {
		if code, said := harness.Ends(t, t.TempDir(), "up", "--http", "127.0.0.1:0", "--nats", addr); code == 0 || !strings.Contains(said, "--nats-auth") {
			t.Errorf("--nats %s: exit code %d, %q", addr, code, said)
		}
	}
	p, _ := harness.Up(t, "--data", t.TempDir(), "--nats", "0.0.0.0:0", "--nats-auth")
	if _, port, err := net.SplitHostPort(strings.TrimPrefix(p.Said["nats"], "nats://")); err != nil || port == "0" {
		t.Errorf("it listens on %s", p.Said["nats"])
	}
	p.Stop()
}
