package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"lonja/events/query"
)

// singleShop is `docker compose up --build`, and what compose.yaml says in its
// comments.
func singleShop(t *testing.T) {
	t.Parallel()
	c := composeUp(t)
	story(t, c.gateway[0])
	c.auditIsClean()

	seed := filepath.Join(t.TempDir(), "seed")
	docker(t, "cp", c.id("setup")+":/setup/keys/observer/seed", seed)
	key := readFile(t, seed)
	if again := c.compose("run", "--rm", "-T", "setup"); !strings.Contains(again, "kept") || strings.Contains(again, "made") {
		t.Errorf("a second setup does\n%s", again)
	}
	docker(t, "cp", c.id("setup")+":/setup/keys/observer/seed", seed)
	if readFile(t, seed) != key {
		t.Error("a second setup makes other keys")
	}
	if said := docker(t, "logs", c.id("setup")); said == "" || regexp.MustCompile(`S[A-Z][A-Z2-7]{40,}`).MatchString(said) {
		t.Errorf("setup prints nothing, or secrets:\n%s", said)
	}
	c.observerLooks(seed)
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
	within(c.t, time.Minute, func() (err error) {
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
	story(t, c.gateway[0])
	c.gateway[1].boss()

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
	for i, server := range threeServers {
		one, others := []string{server}, append(slices.Clone(threeServers[:i]), threeServers[i+1:]...)
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

// crowd are customers who order one piece after the other, each with a key of
// its own, and who ask again with that key, at another gateway, until the
// order is acknowledged.
type crowd struct {
	buyers       []*person
	kept         [][]attempt // by buyer
	acknowledged atomic.Int64
	buying       sync.WaitGroup
	stop         context.CancelFunc
}

func (c *containers) crowd(customers int) *crowd {
	c.gateway[0].boss().sells("22423", 1275, 1_000_000)
	ctx, stop := context.WithCancel(c.t.Context())
	w := &crowd{stop: stop, kept: make([][]attempt, customers)}
	for i := range customers {
		w.buyers = append(w.buyers, c.gateway[0].as(fmt.Sprintf("buyer%d", i)))
	}
	for i, b := range w.buyers {
		w.buying.Go(func() {
			for n := i; ctx.Err() == nil; n++ {
				w.kept[i] = append(w.kept[i], w.buy(c.gateway, n, b))
			}
		})
	}
	c.t.Cleanup(func() { stop(); w.buying.Wait() })
	return w
}

// patience is how long a customer tries to place one order. Whatever is done
// to the shop is over sooner.
const patience = 90 * time.Second

// buy places a customer's nth order: tries until it is acknowledged, at most
// for as long as their patience, and not faster than customers do.
func (w *crowd) buy(gateways []*shop, n int, b *person) attempt {
	a := attempt{key: fmt.Sprintf("%s-%d", b.name, n)}
	deadline, tick := time.After(patience), time.NewTicker(200*time.Millisecond)
	defer tick.Stop()
	for try := n; ; try++ {
		b.shop = gateways[try%len(gateways)]
		got, err := b.do("POST", "/api/orders", order("22423", 1), "Idempotency-Key", a.key)
		var o query.OrderView
		if err == nil && got.status == 201 && json.Unmarshal(got.body, &o) == nil {
			a.id = o.ID
			w.acknowledged.Add(1)
		}
		select {
		case <-tick.C:
			if a.id != "" {
				return a
			}
		case <-deadline:
			return a
		case <-b.t.Context().Done():
			return a
		}
	}
}

// buysOn waits until some more orders are acknowledged: the shop goes on.
func (w *crowd) buysOn(t *testing.T) {
	t.Helper()
	before := w.acknowledged.Load()
	within(t, time.Minute, func() error {
		if n := w.acknowledged.Load() - before; n < 30 {
			return fmt.Errorf("%d orders were acknowledged in a minute", n)
		}
		return nil
	})
}

// goHome lets everybody finish the order that they are about.
func (w *crowd) goHome(t *testing.T) {
	t.Helper()
	w.stop()
	w.buying.Wait()
	for i, b := range w.buyers {
		for _, a := range w.kept[i] {
			if a.id == "" {
				t.Errorf("%s tried for %v to place %s", b.name, patience, a.key)
			}
		}
	}
}

// check wants every acknowledged order to be there, and nothing besides.
func (w *crowd) check(t *testing.T) {
	t.Helper()
	failed := make(chan error, len(w.buyers))
	for i, b := range w.buyers {
		go func() { failed <- b.hasExactly(w.kept[i]) }()
	}
	for range w.buyers {
		if err := <-failed; err != nil {
			t.Error(err)
		}
	}
	if !t.Failed() {
		t.Logf("%d orders were acknowledged, and each is there once", w.acknowledged.Load())
	}
}

// hasExactly tries each key again, which must give the same order and make no
// other, and counts the orders.
func (p *person) hasExactly(kept []attempt) error {
	for _, a := range kept {
		again, err := p.answered("POST", "/api/orders", order("22423", 1), "Idempotency-Key", a.key)
		var o query.OrderView
		if err = errors.Join(err, json.Unmarshal(again.body, &o)); err != nil || o.ID != a.id || again.header.Get("Idempotent-Replayed") != "true" {
			return fmt.Errorf("%s: order %s was acknowledged; its key %s now gives %d, order %s, %w", p.name, a.id, a.key, again.status, o.ID, err)
		}
	}
	var all query.List[query.OrderView]
	got, err := p.answered("GET", "/api/orders?limit=1", nil)
	if err = errors.Join(err, json.Unmarshal(got.body, &all)); err != nil || all.Meta.Total != len(kept) {
		return fmt.Errorf("%s has %d orders after %d keys, %w", p.name, all.Meta.Total, len(kept), err)
	}
	return nil
}

// answered sends a request until it is answered with something else than that
// this is not possible now: NATS may still be choosing leaders after the last
// server came back. What the answer says is no matter here.
func (p *person) answered(method, path string, body any, headers ...string) (a answer, err error) {
	err = tryWithin(30*time.Second, func() (err error) {
		if a, err = p.do(method, path, body, headers...); err == nil && a.status == 503 {
			err = fmt.Errorf("%s %s: %d %s", method, path, a.status, a.body)
		}
		return err
	})
	return a, err
}
