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
		p.proxy.setRule(rule)
	}
}

// duplicates delivers every command and query twice and drops a third of the
// acknowledgements, so that events are redelivered late and out of order.
func duplicates(ctx context.Context, t *trial) {
	if !t.impatientConsumers(ctx) {
		return
	}
	var doubled, lost atomic.Int64
	t.everyProxy(func(m message) verdict {
		switch {
		case !m.toServer && (strings.HasPrefix(m.subject, "commands.") || strings.HasPrefix(m.subject, "queries.")):
			doubled.Add(1)
			return duplicate
		case m.toServer && strings.HasPrefix(m.subject, "$JS.ACK.") && rand.IntN(3) == 0:
			lost.Add(1)
			return drop
		}
		return pass
	})
	pause(ctx, t.options.duration)
	t.everyProxy(nil)
	t.must(t.applyStreams()) // restores ack_wait
	t.record("%d requests doubled, %d acks lost", doubled.Load(), lost.Load())
}

// impatientConsumers makes the server redeliver unacknowledged messages after one
// second.
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

// answersLost drops some answers of services, and delays some until the gateway has
// given up.
func answersLost(ctx context.Context, t *trial) {
	var lost, late atomic.Int64
	t.everyProxy(func(m message) verdict {
		if !m.toServer || !strings.HasPrefix(m.subject, "_INBOX.") {
			return pass
		}
		switch n := rand.IntN(100); {
		case n < 3:
			lost.Add(1)
			return drop
		case n < 5:
			late.Add(1)
			return delay(7 * time.Second)
		}
		return pass
	})
	pause(ctx, t.options.duration)
	t.everyProxy(nil)
	pause(ctx, time.Second)
	t.record("%d answers lost, %d late", lost.Load(), late.Load())
}

// crashPoints kills services at the most critical points.
func crashPoints(ctx context.Context, t *trial) {
	points := []struct {
		name     string
		services []string
		here     func(message) bool
		delay    bool // kill a moment later, while the message is being handled
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
	var restarts restarts
	for _, point := range points {
		before := len(restarts)
		for range max(2, int(t.options.duration/(2*time.Second))) {
			name := point.services[t.rng.IntN(len(point.services))]
			replicas := t.named(name)
			p := replicas[t.rng.IntN(len(replicas))]
			if t.crashAt(ctx, p, point.here, point.delay) && !restarts.start(t, p) {
				return
			}
			pause(ctx, 100*time.Millisecond)
		}
		if t.record("%d %s", len(restarts)-before, point.name); len(restarts) == before {
			t.fail("nothing could be killed %s", point.name)
		}
	}
	restarts.report(t, "crashes in all")
}

// crashAt kills a process when a message passes, and drops the message. It returns
// false when no such message passes in time.
func (t *trial) crashAt(ctx context.Context, p *part, here func(message) bool, delayed bool) bool {
	reached := make(chan struct{})
	var once atomic.Bool
	moments := t.between(0, 3*time.Millisecond)
	p.proxy.setRule(func(m message) verdict {
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
		return drop
	})
	defer p.proxy.setRule(nil)
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
