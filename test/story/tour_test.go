package story

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"lonja/test/harness"
)

// TestTour_CanBeRepeated runs the commands of README.md's section "Five minutes" as
// one script, twice on one folder.
func TestTour_CanBeRepeated(t *testing.T) {
	if _, err := exec.LookPath("curl"); err != nil {
		t.Skip("the tour is left out: there is no curl")
	}
	_, tour, found := strings.Cut(harness.ReadFile(t, "README.md"), "## Five minutes\n")
	tour, _, ended := strings.Cut(tour, "\n## ")
	blocks := regexp.MustCompile("(?s)```sh\n(.*?)```").FindAllStringSubmatch(tour, -1)
	if !found || !ended || len(blocks) < 6 || !strings.Contains(blocks[0][1], "LONJA_ADMIN_PASSWORD=correct-horse go run ./cmd/lonja up --data /tmp/tour") {
		t.Fatalf("the tour has %d pieces, and begins with %v", len(blocks), blocks)
	}
	var typed strings.Builder
	for _, b := range blocks[1:] {
		for line := range strings.Lines(b[1]) {
			if !strings.Contains(line, " sub '") { // a subscription does not end by itself
				typed.WriteString(line)
			}
		}
	}
	data := filepath.Join(t.TempDir(), "tour")
	var orders []string
	for range 2 {
		p := harness.Start(t, "up", "--data", data, "--http", "127.0.0.1:0", "--nats", "127.0.0.1:0", "--admin-password", "correct-horse")
		script := strings.NewReplacer("http://127.0.0.1:8080", p.Said["shop"], "/tmp/tour", data, "go run ./cmd/lonja", harness.Program(t)).Replace(typed.String())
		cmd := exec.Command("sh")
		cmd.Dir, cmd.Stdin = harness.Root(t), strings.NewReader(script)
		cmd.Env = append(os.Environ(), "LONJA_NATS="+p.Said["nats"], "NATS_URL="+p.Said["nats"], "XDG_CONFIG_HOME="+t.TempDir())
		out, err := cmd.CombinedOutput()
		said := string(out)
		if err != nil {
			t.Errorf("it ends with %v", err)
		}
		for _, want := range []string{
			"\n{\"sku\":\"85123A\",\"on_hand\":100,", "HTTP/1.1 201 Created", "PAYMENTS:2 lonja.payment.captured.v1\nORDERS:3 lonja.order.paid.v1",
			"INVENTORY:3 lonja.stock.committed.v1", ` and cannot be declined"`, "order.paid  ", "\n0 violations",
			`"reason":"arrived broken","status":"refunded"`,
		} {
			if !strings.Contains(said, want) {
				t.Errorf("it does not say %q", want)
			}
		}
		if wrong := regexp.MustCompile(`unauthenticated|}\{"|curl: |"status":4`).FindString(said); wrong != "" {
			t.Errorf("it says %q", wrong)
		}
		orders = append(orders, regexp.MustCompile(`"id":"(ord_[^"]+)","status"`).FindString(said))
		if t.Failed() {
			t.Fatal(said)
		}
		p.Stop()
	}
	if orders[0] == "" || orders[0] != orders[1] {
		t.Errorf("the same key gave the orders %q", orders)
	}
}
