package main

import (
	"bytes"
	"context"
	"math/rand/v2"
	"strings"
	"sync/atomic"
	"time"
)

// everyProxy sets one rule for all services.
func (t *trial) everyProxy(rule func(message) verdict) {
	for _, p := range t.named(serviceNames...) {
		p.proxy.judge(rule)
	}
}

// everythingTwice delivers every command and query twice, and loses a third of
// the acknowledgements, so that events are delivered again, late and out of order.
func everythingTwice(ctx context.Context, t *trial) {
	if !t.impatientConsumers(ctx) {
		return
	}
	var doubled, lost atomic.Int64
	t.everyProxy(func(m message) verdict {
		switch {
		case !m.toServer && (strings.HasPrefix(m.subject, "commands.") || strings.HasPrefix(m.subject, "queries.")):
			doubled.Add(1)
			return twice
		case m.toServer && strings.HasPrefix(m.subject, "$JS.ACK.") && rand.IntN(3) == 0:
			lost.Add(1)
			return lose
		}
		return pass
	})
	pause(ctx, t.options.load)
	t.everyProxy(nil)
	t.must(t.applyStreams()) // as patient again as streams.yaml says
	t.measured("%d requests doubled, %d acks lost", doubled.Load(), lost.Load())
}

// impatientConsumers makes the server deliver again after a second what was not
// acknowledged.
func (t *trial) impatientConsumers(ctx context.Context) bool {
	for info := range t.js.ListStreams(ctx).Info() {
		stream, err := t.js.Stream(ctx, info.Config.Name)
		if !t.must(err) {
			return false
		}
		for c := range stream.ListConsumers(ctx).Info() {
			config := c.Config
			if config.AckWait = time.Second; !strings.HasSuffix(config.Durable, "-deferred") {
				if _, err := stream.UpdateConsumer(ctx, config); !t.must(err) {
					return false
				}
			}
		}
	}
	return true
}

// answersLost loses some answers of services to commands and to queries, and
// holds some back until after the gateway gave up.
func answersLost(ctx context.Context, t *trial) {
	var lost, late atomic.Int64
	t.everyProxy(func(m message) verdict {
		if !m.toServer || !strings.HasPrefix(m.subject, "_INBOX.") {
			return pass
		}
		switch n := rand.IntN(100); {
		case n < 3:
			lost.Add(1)
			return lose
		case n < 5:
			late.Add(1)
			return later(7 * time.Second)
		}
		return pass
	})
	pause(ctx, t.options.load)
	t.everyProxy(nil)
	pause(ctx, time.Second)
	t.measured("%d answers lost, %d late", lost.Load(), late.Load())
}

// crashPoints kills services exactly where it hurts.
func crashPoints(ctx context.Context, t *trial) {
	points := []struct {
		name     string
		services []string
		here     func(message) bool
		delay    bool // some moments later, in the middle of what the message sets off
	}{
		{"before an answer", []string{"orders", "payments", "inventory", "catalog"}, func(m message) bool {
			return m.toServer && strings.HasPrefix(m.subject, "_INBOX.") && bytes.Contains(m.body, []byte("lonja-position"))
		}, false},
		{"before an ack", []string{"orders", "payments", "inventory"}, func(m message) bool {
			return m.toServer && strings.HasPrefix(m.subject, "$JS.ACK.")
		}, false},
		{"in a view's batch", []string{"orders", "payments", "inventory"}, func(m message) bool {
			ofReplica := strings.Contains(m.reply, "-a-") || strings.Contains(m.reply, "-b-")
			return !m.toServer && strings.HasPrefix(m.subject, "events.") && ofReplica
		}, true},
	}
	var back comeback
	for _, point := range points {
		before := len(back)
		for range max(2, int(t.options.load/(2*time.Second))) {
			name := point.services[t.rng.IntN(len(point.services))]
			replicas := t.named(name)
			p := replicas[t.rng.IntN(len(replicas))]
			if t.crashAt(ctx, p, point.here, point.delay) && !back.start(t, p) {
				return
			}
			pause(ctx, 100*time.Millisecond)
		}
		if t.measured("%d %s", len(back)-before, point.name); len(back) == before {
			t.wrong("nothing could be killed %s", point.name)
		}
	}
	back.report(t, "crashes in all")
}

// crashAt kills a process when a message passes, which is lost. It is false
// when none came in time.
func (t *trial) crashAt(ctx context.Context, p *part, here func(message) bool, delayed bool) bool {
	reached := make(chan struct{})
	var once atomic.Bool
	moments := t.between(0, 3*time.Millisecond)
	p.proxy.judge(func(m message) verdict {
		if !here(m) {
			return pass
		}
		if once.CompareAndSwap(false, true) {
			if delayed {
				time.AfterFunc(moments, func() { p.kill(); close(reached) })
				return pass
			}
			p.kill()
			close(reached)
		}
		return lose
	})
	defer p.proxy.judge(nil)
	select {
	case <-reached:
		return true
	case <-time.After(5 * time.Second):
	case <-ctx.Done():
	}
	if once.CompareAndSwap(false, true) {
		return false
	}
	<-reached
	return true
}
