package containers

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"lonja/test/harness"
)

// singleShop runs `docker compose up --build` and the commands in the comments of
// compose.yaml.
func singleShop(t *testing.T) {
	t.Parallel()
	c := composeUp(t)
	harness.Story(t, c.gateway[0])
	c.checkAudit()

	seed := filepath.Join(t.TempDir(), "seed")
	docker(t, "cp", c.id("setup")+":/setup/keys/observer/seed", seed)
	key := contents(t, seed)
	if again := c.compose("run", "--rm", "-T", "setup"); !strings.Contains(again, "kept") || strings.Contains(again, "made") {
		t.Errorf("a second setup does\n%s", again)
	}
	docker(t, "cp", c.id("setup")+":/setup/keys/observer/seed", seed)
	if contents(t, seed) != key {
		t.Error("a second setup makes other keys")
	}
	if said := docker(t, "logs", c.id("setup")); said == "" || regexp.MustCompile(`S[A-Z][A-Z2-7]{40,}`).MatchString(said) {
		t.Errorf("setup prints nothing, or secrets:\n%s", said)
	}
	c.checkObserver(seed)
}

func contents(t *testing.T, path string) string {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// checkObserver connects from outside with the observer's key.
func (c *containers) checkObserver(seed string) {
	c.t.Helper()
	option, err := nats.NkeyOptionFromSeed(seed)
	if err != nil {
		c.t.Fatal(err)
	}
	nc, err := nats.Connect(c.nats, option, nats.CustomInboxPrefix("_INBOX.observer"))
	if err != nil {
		c.t.Fatal(err)
	}
	defer nc.Close()
	js, err := jetstream.New(nc)
	if err != nil {
		c.t.Fatal(err)
	}
	orders, err := js.Stream(c.t.Context(), "ORDERS")
	if err != nil || orders.CachedInfo().State.Msgs == 0 {
		c.t.Errorf("the observer sees %v (%v)", orders, err)
	}
}

// checkAudit waits until nothing is under way, and checks the log.
func (c *containers) checkAudit() {
	c.t.Helper()
	var out string
	harness.Within(c.t, time.Minute, func() (err error) {
		out, err = c.run("audit", "--settled", "--data", "")
		return err
	})
	c.t.Log(lastLine(out))
}

func lastLine(s string) string { return s[strings.LastIndexByte(s, '\n')+1:] }

// clusterWithFaults stops, kills and disconnects every container in turn under load,
// and checks that every acknowledged order exists.
func clusterWithFaults(t *testing.T) {
	c := composeUp(t, "--profile", "cluster")
	harness.Story(t, c.gateway[0])
	c.gateway[1].Boss()

	began, customers := time.Now(), c.customers(6)
	step := func(what string, do func()) {
		t.Helper()
		at, before := time.Now(), customers.acknowledged.Load()
		do()
		t.Logf("%5.1fs: %s took %.1fs, %d orders meanwhile", at.Sub(began).Seconds(), what, time.Since(at).Seconds(), customers.acknowledged.Load()-before)
	}
	step("undisturbed", func() { customers.awaitOrders(t) })
	for _, suffix := range []string{"", "-b"} {
		parts := c.parts(suffix)
		step("stop one of each part", func() { c.inParallel(parts, c.stop); customers.awaitOrders(t); c.inParallel(parts, c.start) })
		step("kill one of each part", func() { c.inParallel(parts, c.crash); customers.awaitOrders(t) })
	}
	for i, server := range harness.ThreeServers {
		one, others := []string{server}, append(slices.Clone(harness.ThreeServers[:i]), harness.ThreeServers[i+1:]...)
		step("stop "+server, func() { c.inParallel(one, c.stop); customers.awaitOrders(t); c.inParallel(one, c.start) })
		step("kill "+server, func() { c.inParallel(one, c.crash); customers.awaitOrders(t) })
		step("cut "+server+" off", func() {
			c.inParallel(others, c.connectedTo(2))
			c.inParallel(one, c.disconnect)
			c.inParallel(others, c.connectedTo(1)) // now both sides have noticed
			customers.awaitOrders(t)
			c.inParallel(one, c.reconnect)
			customers.awaitOrders(t)
		})
	}
	customers.finish(t)
	customers.check(t)
	c.checkAudit()
}
