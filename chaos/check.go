package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"lonja/client"
	"lonja/kit/bus"
)

// restWithin is how long the shop may take to come to rest after a fault.
const restWithin = 30 * time.Second

// check looks whether a shop that was mended kept its promises.
func (t *trial) check(ctx context.Context) {
	began := time.Now()
	if !t.must(eventually(ctx, restWithin, t.ready)) {
		return
	}
	t.measured("ready again after %v", time.Since(began).Round(10*time.Millisecond))
	if !t.must(t.rest(ctx)) {
		return
	}
	t.measured("at rest after %v", time.Since(began).Round(100*time.Millisecond))
	t.hearOutcomes(ctx)
	before, err := readLog(ctx, t.js)
	if !t.must(err) {
		return
	}
	t.askAgain(ctx, before)
	if !t.must(t.rest(ctx)) {
		return
	}
	if t.log, err = readLog(ctx, t.js); !t.must(err) {
		return
	}
	t.checkLog()
	t.checkWishes()
	t.checkReads(ctx)
	if t.crowd.clerks != nil {
		t.crowd.clerks.check(t)
	}
	t.audit()
	t.measured("%d orders placed, %d paid, %d refunded", t.log.count("order.placed"), t.log.count("order.paid"), t.log.count("payment.refunded"))
}

// rest waits until no consumer has anything left to do. When that takes too
// long, the error tells what stands still from what is only slow.
func (t *trial) rest(ctx context.Context) error {
	first, last := -1, 0
	err := eventually(ctx, restWithin, func() error {
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

// left is how many messages each consumer has still to deliver, or has
// delivered and not heard of, if any.
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
	return left, ctx.Err()
}

// hearOutcomes asks what became of the commands that were accepted for later.
func (t *trial) hearOutcomes(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, restWithin) // for all of them
	defer cancel()
	heard := 0
	for _, kind := range []string{"place", "pay", "cancel"} {
		for _, w := range t.history.of(kind) {
			if w.result != unknown || w.location == "" {
				continue
			}
			by := w.who
			if kind == "pay" { // whoever has the link may pay, and is nobody
				by = t.crowd.boss
			}
			if t.must(eventually(ctx, restWithin, func() error { return w.hear(ctx, by) })) {
				heard++
			}
		}
	}
	if heard > 0 {
		t.measured("%d taken up later", heard)
	}
}

func (w *wish) hear(ctx context.Context, by *person) error {
	a, err := by.do(ctx, "GET", w.location, "")
	if err != nil {
		return err
	}
	var o bus.Outcome
	if a.status != 200 || json.Unmarshal(a.body, &o) != nil {
		return fmt.Errorf("outcome at %s: %d %s", w.location, a.status, a.body)
	}
	switch o.Status {
	case bus.OutcomeDone:
		w.learn(answer{status: 201, body: o.Result})
		return nil
	case bus.OutcomeRejected:
		w.result = failed
		return nil
	}
	return errors.New("outcome of " + w.location + " is still " + o.Status)
}

// askAgain sends commands once more under their old keys. What was granted must
// be granted again, as the same order; what was in doubt is now certain.
func (t *trial) askAgain(ctx context.Context, before *facts) {
	granted := 0
	for _, w := range t.history.of("place") {
		if w.result == ok {
			if granted++; granted > 300 && granted%10 > 0 {
				continue
			}
		}
		if w.result == failed || ctx.Err() != nil {
			continue
		}
		had := ""
		for _, f := range before.caused[w.commandID()] {
			had = f.event.EntityID()
		}
		a, err := w.again(ctx)
		got := orderIn(a.body)
		switch {
		case !t.must(err):
			return
		case w.result == unknown && had == "" && a.status >= 400 && a.status < 500:
			w.result = failed
		case a.status != 201:
			t.wrong("key %s was %s; asked again it got %d: %s", w.key, w.result, a.status, a.body)
		case w.result == ok && got != w.order:
			t.wrong("key %s made order %s; asked again it got %s", w.key, w.order, got)
		case had != "" && got != had:
			t.wrong("key %s is order %s in the log; asked again it got %s", w.key, had, got)
		case had != "" && a.header.Get("Idempotent-Replayed") != "true":
			t.wrong("key %s: the answer to order %s does not say that it is a repeated one", w.key, had)
		case w.result == unknown:
			w.result, w.order = ok, got
		}
	}
}

// again sends a command once more; a token that has expired is renewed.
func (w *wish) again(ctx context.Context) (a answer, err error) {
	err = eventually(ctx, restWithin, func() error {
		if a, err = w.who.do(ctx, "POST", w.path, w.body, "Idempotency-Key", w.key); err != nil {
			return err
		}
		if a.status == 401 {
			return errors.Join(errors.New("the access token was refused"), w.who.logIn(ctx))
		}
		if a.status >= 500 || a.status == 202 {
			return fmt.Errorf("key %s asked again: %d %s", w.key, a.status, a.body)
		}
		return nil
	})
	return a, err
}

// commandID is the id that the gateway gives to the command of a command.
func (w *wish) commandID() string { return w.who.command("POST "+w.path, w.key) }

// checkWishes compares what customers were told with the log: everything that
// was granted took effect exactly once, what was refused not at all, and what
// is in doubt once at most. Nothing happened that nobody wished for.
func (t *trial) checkWishes() {
	known := map[string]bool{}
	for _, w := range t.history.of("place") {
		id := w.commandID()
		known[id] = true
		effects := t.log.caused[id]
		switch n := len(effects); {
		case w.result == ok && n != 1, w.result == failed && n != 0, n > 1:
			t.wrong("order under key %s is %s (last answer %d after %d tries), and has %d effects", w.key, w.result, w.status, w.tries, n)
		case w.result == ok && effects[0].event.EntityID() != w.order:
			t.wrong("order under key %s was acknowledged as %s and recorded as %s", w.key, w.order, effects[0].event.EntityID())
		}
	}
	for _, f := range t.log.all {
		if f.typ == "order.placed" && !known[f.causation] && (t.crowd.clerks == nil || !t.crowd.clerks.placed(f.causation)) {
			t.wrong("order %s was placed by nobody", f.event.EntityID())
		}
	}
	for _, w := range t.history.of("pay") {
		if n := len(t.log.of(w.order, "payment.captured")); w.result == ok && n != 1 {
			t.wrong("the payment of %s was acknowledged, and captured %d times", w.order, n)
		}
	}
	for _, w := range t.history.of("cancel") {
		if n := len(t.log.of(w.order, "order.cancelled")); w.result == ok && n != 1 {
			t.wrong("the cancellation of %s was acknowledged, and recorded %d times", w.order, n)
		}
	}
}

// checkReads compares what the views answer with the log.
func (t *trial) checkReads(ctx context.Context) {
	if t.must(t.crowd.boss.logIn(ctx)) {
		seen := 0
		for id, facts := range t.log.order {
			if seen++; seen > 150 || ctx.Err() != nil {
				break
			}
			want := statusIn(facts)
			t.crowd.boss.way.turnFrom(t.crowd.boss.way.gateway)
			var o *client.Order
			err := eventually(ctx, restWithin, func() (err error) { o, err = t.crowd.boss.GetOrder(ctx, id); return err })
			if t.must(err) && string(o.Status) != want {
				t.wrong("order %s is %s in the log and %s in the view", id, want, o.Status)
			}
		}
	}
}

// audit lets lonja look at itself.
func (t *trial) audit() {
	if !t.hasAudit() {
		t.measured("no audit in this lonja")
		return
	}
	began := time.Now()
	out, err := t.tool("audit", "--settled", "--nats", t.natsURL, "--data", t.data())
	if err == nil {
		t.measured("audit clean in %v", time.Since(began).Round(10*time.Millisecond))
		return
	}
	findings, _, _ := strings.Cut(out, "STREAM ")
	for line := range strings.Lines(findings) {
		t.wrong("audit: %s", strings.TrimSpace(line))
	}
	t.wrong("lonja audit: %v", errors.Unwrap(err))
}

func (t *trial) hasAudit() bool {
	_, err := t.tool("audit", "--help")
	return err == nil
}
