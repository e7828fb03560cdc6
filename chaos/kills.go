package main

import (
	"context"
	"errors"
	"slices"
	"strings"
	"syscall"
	"time"
)

// readyTarget is how long a killed part may take to be ready again, in the median.
const readyTarget = 2 * time.Second

// restarts holds the times that parts took to be ready again.
type restarts []time.Duration

func (c *restarts) start(t *trial, p *part) bool {
	if !t.must(p.start()) {
		return false
	}
	*c = append(*c, p.toReady)
	return true
}

func (c restarts) report(t *trial, what string) {
	if len(c) == 0 {
		return
	}
	slices.Sort(c)
	median, worst := c[len(c)/2], c[len(c)-1]
	t.record("%d %s, ready again in %v, at worst %v", len(c), what, median.Round(time.Millisecond), worst.Round(time.Millisecond))
	if median > readyTarget {
		t.fail("ready again only after %v, more than %v", median, readyTarget)
	}
}

func killUp(ctx context.Context, t *trial) {
	var restarts restarts
	for end := t.until(); time.Now().Before(end) && pause(ctx, t.between(200*time.Millisecond, 1500*time.Millisecond)); {
		t.parts["up"].kill()
		if !restarts.start(t, t.parts["up"]) {
			return
		}
	}
	pause(ctx, time.Second)
	restarts.report(t, "kills")
}

func killParts(ctx context.Context, t *trial) {
	var restarts restarts
	parts := t.named(append([]string{"gateway"}, serviceNames...)...)
	for end := t.until(); time.Now().Before(end) && pause(ctx, t.between(50*time.Millisecond, 400*time.Millisecond)); {
		p := parts[t.rng.IntN(len(parts))]
		p.kill()
		pause(ctx, t.between(0, 300*time.Millisecond))
		if !restarts.start(t, p) {
			return
		}
	}
	restarts.report(t, "kills")
	t.record("longest without an order %v", t.history.longestSilence().Round(10*time.Millisecond))
}

// rolling restarts every part as an upgrade does. No request may fail.
func rolling(ctx context.Context, t *trial) {
	pause(ctx, time.Second)
	for _, p := range t.named(append(slices.Clone(serviceNames), "gateway")...) {
		if !t.must(p.stop()) || !t.must(p.start()) {
			return
		}
		pause(ctx, 300*time.Millisecond)
	}
	pause(ctx, time.Second)
	t.load.wait()
	t.checkNoFailures()
}

// checkNoFailures checks that every request was served. A request may be rejected
// for a business reason, but not because a part was down.
func (t *trial) checkNoFailures() {
	requests := 0
	for answer, n := range t.history.answers {
		requests += n
		if _, status, _ := strings.Cut(answer, " "); status == "0" || status == "202" || status >= "500" {
			t.fail("%d requests were answered with %s, such as %s", n, answer, t.history.details[answer])
		}
	}
	t.record("%d requests, longest without an order %v", requests, t.history.longestSilence().Round(10*time.Millisecond))
}

func freezeService(ctx context.Context, t *trial) {
	for _, name := range []string{"orders-a", "inventory-a", "payments-b"} {
		if !t.freeze(ctx, t.parts[name]) {
			return
		}
	}
	t.record("longest without an order %v", t.history.longestSilence().Round(10*time.Millisecond))
}

func freezeNATS(ctx context.Context, t *trial) {
	if t.freeze(ctx, t.leader(ctx)) {
		t.record("longest without an order %v", t.history.longestSilence().Round(10*time.Millisecond))
	}
}

// freeze freezes a part with SIGSTOP and resumes it later.
func (t *trial) freeze(ctx context.Context, p *part) bool {
	if p == nil || !t.must(p.signal(syscall.SIGSTOP)) {
		return false
	}
	pause(ctx, t.frozen())
	return t.must(p.signal(syscall.SIGCONT)) && pause(ctx, time.Second)
}

func killNATS(ctx context.Context, t *trial) {
	var restarts restarts
	for end := t.until(); time.Now().Before(end) && pause(ctx, t.between(500*time.Millisecond, 2*time.Second)); {
		t.parts["nats-1"].kill()
		pause(ctx, t.between(0, time.Second))
		if !restarts.start(t, t.parts["nats-1"]) {
			return
		}
	}
	restarts.report(t, "kills of NATS")
	t.record("longest without an order %v", t.history.longestSilence().Round(10*time.Millisecond))
}

// leader returns the NATS server that leads the stream ORDERS.
func (t *trial) leader(ctx context.Context) (found *part) {
	t.must(eventually(ctx, 20*time.Second, func() error {
		ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
		defer cancel()
		stream, err := t.js.Stream(ctx, "ORDERS")
		if err != nil {
			return err
		}
		found = t.parts[stream.CachedInfo().Cluster.Leader]
		return nil
	}))
	return found
}

func killLeader(ctx context.Context, t *trial) {
	for range 3 {
		pause(ctx, 2*time.Second)
		p := t.leader(ctx)
		if p == nil {
			return
		}
		p.kill()
		if !t.awaitOrders(ctx, "without "+p.name) || !t.must(p.start()) {
			return
		}
	}
	pause(ctx, 2*time.Second)
}

// awaitOrders measures how long it takes until an order is acknowledged that is
// placed from now on.
func (t *trial) awaitOrders(ctx context.Context, when string) bool {
	began := time.Now()
	err := eventually(ctx, restTimeout, func() error {
		if !t.history.orderedSince(began) {
			return errors.New("no order is accepted")
		}
		return nil
	})
	if t.must(err) {
		t.record("orders are accepted again after %v %s", time.Since(began).Round(10*time.Millisecond), when)
	}
	return err == nil
}

// killNodes kills n NATS servers at once, and starts them again after a while.
func killNodes(n int) func(context.Context, *trial) {
	return func(ctx context.Context, t *trial) {
		pause(ctx, t.options.duration/4)
		nodes := t.named("nats-")
		t.rng.Shuffle(len(nodes), func(i, j int) { nodes[i], nodes[j] = nodes[j], nodes[i] })
		for _, p := range nodes[:n] {
			p.kill()
		}
		pause(ctx, t.options.duration/4)
		for _, p := range nodes[:n] {
			if !t.must(p.start()) {
				return
			}
		}
		t.awaitOrders(ctx, "with all three")
		pause(ctx, t.options.duration/4)
	}
}

func rollingNATS(ctx context.Context, t *trial) {
	for _, p := range t.named("nats-") {
		pause(ctx, 3*time.Second)
		if !t.must(p.stop()) || !t.must(p.start()) {
			return
		}
	}
	pause(ctx, 3*time.Second)
	t.record("longest without an order %v", t.history.longestSilence().Round(10*time.Millisecond))
}
