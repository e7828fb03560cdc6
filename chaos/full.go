package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// natsFull fills the log to its limit with invented dead letters, and purges them
// after a while.
func natsFull(ctx context.Context, t *trial) {
	pause(ctx, time.Second)
	p := t.parts["nats-1"]
	if !t.must(p.stop()) || !t.must(limitStore(p, 16<<20)) || !t.must(p.start()) {
		return
	}
	pause(ctx, time.Second)
	stream, err := t.js.Stream(ctx, "DEADLETTERS")
	if !t.must(err) {
		return
	}
	full := errors.New("not yet")
	for end := t.until(); time.Now().Before(end); pause(ctx, 10*time.Millisecond) {
		for size := 1 << 18; size > 64; size /= 8 { // to the last byte
			for full = nil; full == nil; {
				_, full = t.js.Publish(ctx, "deadletters.nobody.FULL.1", make([]byte, size))
			}
		}
	}
	t.record("the log's error is %q", full)
	refused := t.history.count503()
	if refused == 0 {
		t.fail("no request was rejected with 503 although the log is full")
	}
	t.record("503 for %d requests", refused)
	t.must(stream.Purge(ctx, jetstream.WithPurgeSubject("deadletters.nobody.>")))
	pause(ctx, 2*time.Second)
}

// limitStore changes how much a NATS server may store from its next start on.
func limitStore(p *part, most int64) error {
	n, err := nodeOf(p.args[1])
	if err != nil {
		return err
	}
	n.MaxStore = most
	p.args[1] = n.argument()
	return nil
}

// viewsFull fills the disk of all views, which is a small tmpfs.
func viewsFull(ctx context.Context, t *trial) {
	for _, p := range t.named(serviceNames...) {
		p.kill()
	}
	out, err := exec.CommandContext(ctx, "mount", "-t", "tmpfs", "-o", "size=48m", "lonja-chaos", t.data()).CombinedOutput()
	small := err == nil
	if !small {
		t.record("left out: no small disk can be made here (%v: %s)", err, out)
	} else {
		defer t.unmount()
	}
	for _, p := range t.named(serviceNames...) {
		if !t.must(p.start()) {
			return
		}
	}
	pause(ctx, time.Second)
	filler := filepath.Join(t.data(), "filler")
	for end := t.until(); small && time.Now().Before(end); pause(ctx, 50*time.Millisecond) {
		if err := fill(filler); err == nil {
			t.fail("the disk does not get full")
			return
		}
	}
	t.record("503 for %d requests", t.history.count503())
	t.must(os.RemoveAll(filler))
	t.load.wait()
	t.check(ctx)
}

// unmount kills the services, which write to the small disk, and unmounts it.
func (t *trial) unmount() {
	for _, p := range t.named(serviceNames...) {
		p.kill()
	}
	t.must(exec.Command("umount", t.data()).Run())
}

// fill appends to a file until the disk is full, 100 MB at most.
func fill(path string) error {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	defer f.Close()
	for range 100 << 8 {
		if _, err := f.Write(make([]byte, 4<<10)); err != nil {
			return fmt.Errorf("full: %w", err)
		}
	}
	return nil
}
