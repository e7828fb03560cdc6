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

// singleShop is `docker compose up --build`, and what compose.yaml says in its
// comments.
func singleShop(t *testing.T) {
	t.Parallel()
	c := composeUp(t)
	harness.Story(t, c.gateway[0])
	c.auditIsClean()

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
	c.observerLooks(seed)
}

func contents(t *testing.T, path string) string {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// observerLooks connects from outside with the observer's key.
func (c *containers) observerLooks(seed string) {
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

// auditIsClean waits until nothing is under way, and has the log checked.
func (c *containers) auditIsClean() {
	c.t.Helper()
	var out string
	harness.Within(c.t, time.Minute, func() (err error) {
		out, err = c.run("audit", "--settled", "--data", "")
		return err
	})
	c.t.Log(lastLine(out))
}

func lastLine(s string) string { return s[strings.LastIndexByte(s, '\n')+1:] }

// clusterUnderFire stops, kills and cuts off every container in turn while
// customers buy, and wants every order that was acknowledged.
func clusterUnderFire(t *testing.T) {
	c := composeUp(t, "--profile", "cluster")
	harness.Story(t, c.gateway[0])
	c.gateway[1].Boss()

	began, crowd := time.Now(), c.crowd(6)
	step := func(what string, do func()) {
		t.Helper()
		at, before := time.Now(), crowd.acknowledged.Load()
		do()
		t.Logf("%5.1fs: %s took %.1fs, %d orders meanwhile", at.Sub(began).Seconds(), what, time.Since(at).Seconds(), crowd.acknowledged.Load()-before)
	}
	step("undisturbed", func() { crowd.buysOn(t) })
	for _, suffix := range []string{"", "-b"} {
		parts := c.parts(suffix)
		step("stop one of each part", func() { c.together(parts, c.stop); crowd.buysOn(t); c.together(parts, c.start) })
		step("kill one of each part", func() { c.together(parts, c.crash); crowd.buysOn(t) })
	}
	for i, server := range harness.ThreeServers {
		one, others := []string{server}, append(slices.Clone(harness.ThreeServers[:i]), harness.ThreeServers[i+1:]...)
		step("stop "+server, func() { c.together(one, c.stop); crowd.buysOn(t); c.together(one, c.start) })
		step("kill "+server, func() { c.together(one, c.crash); crowd.buysOn(t) })
		step("cut "+server+" off", func() {
			c.together(others, c.seesServers(2))
			c.together(one, c.cutOff)
			c.together(others, c.seesServers(1)) // only now both sides know
			crowd.buysOn(t)
			c.together(one, c.putBack)
			crowd.buysOn(t)
		})
	}
	crowd.goHome(t)
	crowd.check(t)
	c.auditIsClean()
}
