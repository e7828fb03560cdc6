package main

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"lonja/client"
)

// consumersDeleted deletes every consumer there is, one after another.
func consumersDeleted(ctx context.Context, t *trial) {
	deleted := 0
	for info := range t.js.ListStreams(ctx).Info() {
		stream, err := t.js.Stream(ctx, info.Config.Name)
		if !t.must(err) {
			return
		}
		for name := range stream.ConsumerNames(ctx).Name() {
			if strings.Contains(name, "-") && t.must(stream.DeleteConsumer(ctx, name)) {
				deleted++
				pause(ctx, 50*time.Millisecond)
			}
		}
	}
	t.measured("%d consumers deleted", deleted)
	pause(ctx, 2*time.Second)
}

// someTrade makes sure that there are events of every kind.
func (t *trial) someTrade(ctx context.Context) bool {
	t.crowd.begin(ctx, t.options.seed)
	pause(ctx, 2*time.Second)
	t.crowd.end()
	return t.must(t.rest(ctx))
}

func streamDeleted(ctx context.Context, t *trial) {
	if !t.someTrade(ctx) || !t.must(t.js.DeleteStream(ctx, "ORDERS")) {
		return
	}
	t.noFalseOrder(ctx, "the orders were deleted")
	t.expectNotReady(ctx, 15*time.Second, "the orders were deleted")
	t.afterRestart(ctx, "a restart without the orders")
}

func streamRecreated(ctx context.Context, t *trial) {
	if !t.someTrade(ctx) {
		return
	}
	stream, err := t.js.Stream(ctx, "ORDERS")
	if !t.must(err) || !t.must(t.js.DeleteStream(ctx, "ORDERS")) {
		return
	}
	if _, err := t.js.CreateStream(ctx, stream.CachedInfo().Config); !t.must(err) {
		return
	}
	t.noFalseOrder(ctx, "the orders were replaced") // at once: the shop has noticed nothing yet
	t.expectNotReady(ctx, 15*time.Second, "the orders were replaced")
	t.noFalseOrder(ctx, "the orders were replaced")
	t.afterRestart(ctx, "a restart with other orders")
}

// noFalseOrder makes sure that no new history begins where an old one was, also
// when the same is asked again.
func (t *trial) noFalseOrder(ctx context.Context, why string) {
	buyer := t.crowd.customers[0]
	hand := buyer.hand(0)
	for range 3 {
		a, err := hand.do(ctx, "POST", "/api/orders", orderOf(sku(5), 1), "Idempotency-Key", "after "+why)
		if err == nil && a.status < 300 && a.status != 202 {
			t.wrong("an order was acknowledged with %d although %s", a.status, why)
		}
	}
}

// afterRestart restarts a shop that must not become ready, and must say why.
func (t *trial) afterRestart(ctx context.Context, what string) {
	up := t.parts["up"]
	up.kill()
	said := sizeOf(up.log)
	go func() { _ = up.start() }() // it is not to become ready
	t.must(eventually(ctx, 20*time.Second, t.alive))
	t.expectNotReady(ctx, 10*time.Second, what)
	pause(ctx, 2*time.Second)
	t.expectNotReady(ctx, time.Second, what)
	log, err := os.ReadFile(up.log)
	if t.must(err) {
		if text := string(log[said:]); !strings.Contains(text, "ORDERS") || !strings.Contains(text, "restore") {
			t.wrong("after %s, the log does not say what is wrong and what to do", what)
		}
	}
}

func sizeOf(path string) int64 {
	info, err := os.Stat(path)
	if err != nil {
		return 0
	}
	return info.Size()
}

// alive tells whether the gateway answers at all.
func (t *trial) alive() error {
	_, err := visit(t.gateways[0], web).Do(context.Background(), client.Request{Method: http.MethodGet, Path: "/healthz"})
	return err
}

func streamChanged(ctx context.Context, t *trial) {
	stream, err := t.js.Stream(ctx, "ORDERS")
	if !t.must(err) {
		return
	}
	config := stream.CachedInfo().Config
	config.MaxAge, config.Discard = time.Hour, jetstream.DiscardOld
	if _, err := t.js.UpdateStream(ctx, config); !t.must(err) {
		return
	}
	if t.hasAudit() {
		if out, err := t.tool("audit", "--nats", t.natsURL, "--data", t.data()); err == nil {
			t.wrong("audit finds nothing although facts now expire after an hour: %s", out)
		}
	}
	t.parts["up"].kill()
	if !t.must(t.parts["up"].start()) {
		return
	}
	stream, err = t.js.Stream(ctx, "ORDERS")
	if t.must(err) && (stream.CachedInfo().Config.MaxAge != 0 || stream.CachedInfo().Config.Discard != jetstream.DiscardNew) {
		t.wrong("after a restart facts still expire")
	}
}

// bitFlip turns one bit of the log around while the shop is closed, each time at
// another place. Somebody must notice, at the latest after the next start.
func bitFlip(ctx context.Context, t *trial) {
	if !t.someTrade(ctx) || !t.must(t.parts["up"].stop()) {
		return
	}
	blocks, err := filepath.Glob(filepath.Join(t.data(), "nats", "jetstream", "$G", "streams", "ORDERS", "msgs", "*.blk"))
	if !t.must(err) || len(blocks) == 0 {
		t.wrong("there is no log to damage")
		return
	}
	clean := t.dir + "-clean"
	defer os.RemoveAll(clean)
	if !t.must(os.CopyFS(clean, os.DirFS(t.data()))) {
		return
	}
	by := map[string]int{}
	for _, share := range []float64{0.05, 0.5, 0.95, 0.999} {
		if !t.must(os.RemoveAll(t.data())) || !t.must(os.CopyFS(t.data(), os.DirFS(clean))) || !t.must(flip(blocks[0], share)) {
			return
		}
		by[t.whoNotices(ctx, share)]++
	}
	t.measured("noticed by %v", by)
}

func flip(path string, share float64) error {
	data, err := os.ReadFile(path)
	if err != nil || len(data) == 0 {
		return fmt.Errorf("flip a bit of %s: %w", path, err)
	}
	data[int(share*float64(len(data)))] ^= 4
	return os.WriteFile(path, data, 0o640)
}

// whoNotices starts the shop with a damaged log, and finds out who tells.
func (t *trial) whoNotices(ctx context.Context, share float64) string {
	up := t.parts["up"]
	started := make(chan error, 1)
	go func() { started <- up.start() }()
	defer up.kill()
	if err := eventually(ctx, 20*time.Second, t.alive); err != nil {
		return "start"
	}
	if eventually(ctx, 4*time.Second, t.ready) != nil {
		return "readyz"
	}
	if t.hasAudit() {
		if _, err := t.tool("audit", "--nats", t.natsURL, "--data", t.data()); err != nil {
			return "audit"
		}
	}
	t.wrong("a bit flipped at %.1f%% of the orders' log: ready, and nobody notices", 100*share)
	return "nobody"
}
