package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"lonja/client"
	"lonja/kit/bus"
)

// restTimeout is how long the shop may take to become idle after a fault.
const restTimeout = 30 * time.Second

// check checks whether a repaired shop kept its promises.
func (t *trial) check(ctx context.Context) {
	began := time.Now()
	if !t.must(eventually(ctx, restTimeout, t.ready)) {
		return
	}
	t.record("ready again after %v", time.Since(began).Round(10*time.Millisecond))
	if !t.must(t.rest(ctx)) {
		return
	}
	t.record("idle after %v", time.Since(began).Round(100*time.Millisecond))
	t.fetchOutcomes(ctx)
	before, err := readLog(ctx, t.js)
	if !t.must(err) {
		return
	}
	t.resendCommands(ctx, before)
	if !t.must(t.rest(ctx)) {
		return
	}
	if t.log, err = readLog(ctx, t.js); !t.must(err) {
		return
	}
	t.checkLog()
	t.checkCommands()
	t.checkReads(ctx)
	if t.load.stockClients != nil {
		t.load.stockClients.checkLinearizable(t)
	}
	t.audit()
	t.record("%d orders placed, %d paid, %d refunded", t.log.count("order.placed"), t.log.count("order.paid"), t.log.count("payment.refunded"))
}

// rest waits until no consumer has any messages left. On a timeout, the error
// shows how many were left at first, which tells a stalled consumer from a slow one.
func (t *trial) rest(ctx context.Context) error {
	first, last := -1, 0
	err := eventually(ctx, restTimeout, func() error {
		left, err := t.left(ctx)
		if err != nil {
			return err
		}
		if last = 0; len(left) == 0 {
			return nil
		}
		for _, messages := range left {
			last += messages
		}
		if first < 0 {
			first = last
		}
		return fmt.Errorf("messages are left: %v", left)
	})
	if err != nil {
		err = fmt.Errorf("%w (%d of %d)", err, last, first)
	}
	return err
}

// left returns the number of undelivered and unacknowledged messages of each
// consumer that has any.
func (t *trial) left(ctx context.Context) (map[string]int, error) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	left := map[string]int{}
	for info := range t.js.ListStreams(ctx).Info() {
		stream, err := t.js.Stream(ctx, info.Config.Name)
		if err != nil {
			return nil, err
		}
		list := stream.ListConsumers(ctx)
		for c := range list.Info() {
			if n := int(c.NumPending) + c.NumAckPending; c.Config.Durable != "" && n > 0 {
				left[c.Name] = n
			}
		}
		if list.Err() != nil {
			return nil, list.Err()
		}
	}
	if n, err := t.refundsLeft(ctx); err != nil || n > 0 {
		left["refunds"] = n
		return left, err
	}
	return left, ctx.Err()
}

// refundsLeft returns how many payments have a refund that the provider is still to be asked for. No consumer
// waits for that: see service.Effect.
func (t *trial) refundsLeft(ctx context.Context) (n int, err error) {
	stream, err := t.js.Stream(ctx, "PAYMENTS")
	if err != nil {
		return 0, err
	}
	info, err := stream.Info(ctx, jetstream.WithSubjectFilter("events.payment.>"))
	if err != nil {
		return 0, err
	}
	for subject, requested := range info.State.Subjects {
		of, is := strings.CutSuffix(subject, ".refund_requested")
		if is && requested > info.State.Subjects[of+".refunded"]+info.State.Subjects[of+".refund_failed"] {
			n++
		}
	}
	return n, nil
}

// fetchOutcomes fetches the outcomes of the commands that were deferred with 202.
func (t *trial) fetchOutcomes(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, restTimeout) // for all of them
	defer cancel()
	heard := 0
	for _, kind := range []string{"place", "pay", "cancel", "refund"} {
		for _, c := range t.history.of(kind) {
			if c.result != unknown || c.location == "" {
				continue
			}
			by := c.by
			if kind == "pay" { // a payment is anonymous, so its outcome has no owner
				by = t.load.admin
			}
			if t.must(eventually(ctx, restTimeout, func() error { return c.fetchOutcome(ctx, by) })) {
				heard++
			}
		}
	}
	if heard > 0 {
		t.record("%d deferred commands decided", heard)
	}
}

func (c *command) fetchOutcome(ctx context.Context, by *user) error {
	a, err := by.do(ctx, "GET", c.location, "")
	if err != nil {
		return err
	}
	var o bus.Outcome
	if a.status != 200 || json.Unmarshal(a.body, &o) != nil {
		return fmt.Errorf("outcome at %s: %d %s", c.location, a.status, a.body)
	}
	switch o.Status {
	case bus.OutcomeDone:
		c.record(answer{status: 201, body: o.Result})
		return nil
	case bus.OutcomeRejected:
		c.result = failed
		return nil
	}
	return errors.New("outcome of " + c.location + " is still " + o.Status)
}

// resendCommands sends commands again under their old keys. An accepted command
// must get the same order again. A command with an unknown result now gets one.
func (t *trial) resendCommands(ctx context.Context, before *eventLog) {
	granted := 0
	for _, c := range t.history.of("place") {
		if c.result == ok {
			if granted++; granted > 300 && granted%10 > 0 {
				continue
			}
		}
		if c.result == failed || ctx.Err() != nil {
			continue
		}
		had := ""
		for _, f := range before.caused[c.commandID()] {
			had = f.data.EntityID()
		}
		a, err := c.resend(ctx)
		got := orderIn(a.body)
		switch {
		case !t.must(err):
			return
		case c.result == unknown && had == "" && a.status >= 400 && a.status < 500:
			c.result = failed
		case a.status != 201:
			t.fail("key %s was %s; sent again it got %d: %s", c.key, c.result, a.status, a.body)
		case c.result == ok && got != c.order:
			t.fail("key %s created order %s; sent again it got %s", c.key, c.order, got)
		case had != "" && got != had:
			t.fail("key %s is order %s in the log; sent again it got %s", c.key, had, got)
		case had != "" && a.header.Get("Idempotent-Replayed") != "true":
			t.fail("key %s: the repeated answer for order %s lacks Idempotent-Replayed", c.key, had)
		case c.result == unknown:
			c.result, c.order = ok, got
		}
	}
}

// resend sends a command again. It renews an expired access token.
func (c *command) resend(ctx context.Context) (a answer, err error) {
	err = eventually(ctx, restTimeout, func() error {
		if a, err = c.by.do(ctx, "POST", c.path, c.body, "Idempotency-Key", c.key); err != nil {
			return err
		}
		if a.status == 401 {
			return errors.Join(errors.New("the access token was rejected"), c.by.logIn(ctx))
		}
		if a.status >= 500 || a.status == 202 {
			return fmt.Errorf("key %s sent again: %d %s", c.key, a.status, a.body)
		}
		return nil
	})
	return a, err
}

// commandID returns the id that the gateway derives for the command.
func (c *command) commandID() string { return c.by.commandID("POST "+c.path, c.key) }

// checkCommands compares the answers that customers got with the log. An accepted
// command took effect exactly once, a rejected one not at all, and one with an
// unknown result at most once. No order was placed without a command.
func (t *trial) checkCommands() {
	known := map[string]bool{}
	for _, c := range t.history.of("place") {
		id := c.commandID()
		known[id] = true
		effects := t.log.caused[id]
		switch n := len(effects); {
		case c.result == ok && n != 1, c.result == failed && n != 0, n > 1:
			t.fail("order under key %s is %s (last answer %d after %d tries), and has %d effects", c.key, c.result, c.status, c.tries, n)
		case c.result == ok && effects[0].data.EntityID() != c.order:
			t.fail("order under key %s was acknowledged as %s and recorded as %s", c.key, c.order, effects[0].data.EntityID())
		}
	}
	for _, f := range t.log.all {
		if f.typ == "order.placed" && !known[f.causation] && (t.load.stockClients == nil || !t.load.stockClients.placed(f.causation)) {
			t.fail("order %s was placed without a command", f.data.EntityID())
		}
	}
	for _, c := range t.history.of("pay") {
		if n := len(t.log.of(c.order, "payment.captured")); c.result == ok && n != 1 {
			t.fail("the payment of %s was acknowledged, and captured %d times", c.order, n)
		}
	}
	for _, c := range t.history.of("refund") {
		switch n := len(t.log.caused[t.load.admin.commandID("POST /api/orders/{id}/refunds", c.key)]); {
		case c.result == ok && n != 1, c.result == failed && n != 0, n > 1:
			t.fail("the refund of %s under key %s is %s (last answer %d), and has %d effects", c.order, c.key, c.result, c.status, n)
		}
	}
	for _, c := range t.history.of("cancel") {
		if n := len(t.log.of(c.order, "order.cancelled")); c.result == ok && n != 1 {
			t.fail("the cancellation of %s was acknowledged, and recorded %d times", c.order, n)
		}
	}
}

// checkReads compares what the views answer with the log.
func (t *trial) checkReads(ctx context.Context) {
	if t.must(t.load.admin.logIn(ctx)) {
		seen := 0
		for id, recorded := range t.log.order {
			if seen++; seen > 150 || ctx.Err() != nil {
				break
			}
			want := statusIn(recorded)
			t.load.admin.balancer.next(t.load.admin.balancer.gateway)
			var o *client.Order
			err := eventually(ctx, restTimeout, func() (err error) { o, err = t.load.admin.GetOrder(ctx, id); return err })
			if t.must(err) && string(o.Status) != want {
				t.fail("order %s is %s in the log and %s in the view", id, want, o.Status)
			}
		}
	}
}

// audit runs lonja audit on the shop.
func (t *trial) audit() {
	if !t.hasAudit() {
		t.record("no audit in this lonja")
		return
	}
	began := time.Now()
	out, err := t.tool("audit", "--settled", "--nats", t.natsURL, "--data", t.data())
	if err == nil {
		t.record("audit clean in %v", time.Since(began).Round(10*time.Millisecond))
		return
	}
	findings, _, _ := strings.Cut(out, "STREAM ")
	for line := range strings.Lines(findings) {
		t.fail("audit: %s", strings.TrimSpace(line))
	}
	t.fail("lonja audit: %v", errors.Unwrap(err))
}

func (t *trial) hasAudit() bool {
	_, err := t.tool("audit", "--help")
	return err == nil
}
