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

// consumersDeleted deletes every consumer, one after another.
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
	t.record("%d consumers deleted", deleted)
	pause(ctx, 2*time.Second)
}

// trade runs the load for a moment, so that every stream holds events.
func (t *trial) trade(ctx context.Context) bool {
	t.load.start(ctx, t.options.seed)
	pause(ctx, 2*time.Second)
	t.load.wait()
	return t.must(t.rest(ctx))
}

func streamDeleted(ctx context.Context, t *trial) {
	if !t.trade(ctx) || !t.must(t.js.DeleteStream(ctx, "ORDERS")) {
		return
	}
	t.expectNoOrder(ctx, "the orders were deleted")
	t.expectNotReady(ctx, 15*time.Second, "the orders were deleted")
	t.afterRestart(ctx, "a restart without the orders")
}

func streamRecreated(ctx context.Context, t *trial) {
	if !t.trade(ctx) {
		return
	}
	stream, err := t.js.Stream(ctx, "ORDERS")
	if !t.must(err) || !t.must(t.js.DeleteStream(ctx, "ORDERS")) {
		return
	}
	if _, err := t.js.CreateStream(ctx, stream.CachedInfo().Config); !t.must(err) {
		return
	}
	t.expectNoOrder(ctx, "the orders were replaced") // before the shop has noticed
	t.expectNotReady(ctx, 15*time.Second, "the orders were replaced")
	t.expectNoOrder(ctx, "the orders were replaced")
	t.afterRestart(ctx, "a restart with other orders")
}

// expectNoOrder checks that no order is acknowledged when the stream has lost its
// history, even when the request is repeated.
func (t *trial) expectNoOrder(ctx context.Context, why string) {
	buyer := t.load.customers[0]
	hand := buyer.session(0)
	for range 3 {
		a, err := hand.do(ctx, "POST", "/api/orders", orderOf(sku(5), 1), "Idempotency-Key", "after "+why)
		if err == nil && a.status < 300 && a.status != 202 {
			t.fail("an order was acknowledged with %d although %s", a.status, why)
		}
	}
}

// afterRestart restarts a shop that must not become ready and must log why.
func (t *trial) afterRestart(ctx context.Context, what string) {
	up := t.parts["up"]
	up.kill()
	offset := sizeOf(up.log)
	go func() { _ = up.start() }() // it must not become ready
	t.must(eventually(ctx, 20*time.Second, t.alive))
	t.expectNotReady(ctx, 10*time.Second, what)
	pause(ctx, 2*time.Second)
	t.expectNotReady(ctx, time.Second, what)
	log, err := os.ReadFile(up.log)
	if t.must(err) {
		if text := string(log[offset:]); !strings.Contains(text, "ORDERS") || !strings.Contains(text, "restore") {
			t.fail("after %s, the log does not name the problem and the remedy", what)
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

// alive returns nil when the gateway answers at all.
func (t *trial) alive() error {
	_, err := newClient(t.gateways[0], transport).Do(context.Background(), client.Request{Method: http.MethodGet, Path: "/healthz"})
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
			t.fail("audit finds nothing although events now expire after an hour: %s", out)
		}
	}
	t.parts["up"].kill()
	if !t.must(t.parts["up"].start()) {
		return
	}
	stream, err = t.js.Stream(ctx, "ORDERS")
	if t.must(err) && (stream.CachedInfo().Config.MaxAge != 0 || stream.CachedInfo().Config.Discard != jetstream.DiscardNew) {
		t.fail("after a restart events still expire")
	}
}

// flipBits flips one bit of the log while the shop is stopped, each time at another
// place. The damage must be detected after the next start at the latest.
func flipBits(ctx context.Context, t *trial) {
	if !t.trade(ctx) || !t.must(t.parts["up"].stop()) {
		return
	}
	blocks, err := filepath.Glob(filepath.Join(t.data(), "nats", "jetstream", "$G", "streams", "ORDERS", "msgs", "*.blk"))
	if !t.must(err) || len(blocks) == 0 {
		t.fail("found no log to damage")
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
		by[t.detectedBy(ctx, share)]++
	}
	t.record("detected by %v", by)
}

func flip(path string, share float64) error {
	data, err := os.ReadFile(path)
	if err != nil || len(data) == 0 {
		return fmt.Errorf("flip a bit of %s: %w", path, err)
	}
	data[int(share*float64(len(data)))] ^= 4
	return os.WriteFile(path, data, 0o640)
}

// detectedBy starts the shop with a damaged log, and returns what detects it.
func (t *trial) detectedBy(ctx context.Context, share float64) string {
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
	t.fail("a bit flipped at %.1f%% of the stream ORDERS: ready, and the damage is not detected", 100*share)
	return "nobody"
}
