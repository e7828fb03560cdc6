package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// fullDisk fills the disk of a shop that is one process, to the last byte, and
// frees it again, as often as there is time.
func fullDisk(ctx context.Context, t *trial) {
	filler := filepath.Join(t.data(), "filler")
	unmount, err := t.moveTo(func(at string) (func() error, error) { return smallDisk(at, "64m") })
	if err != nil {
		t.record("left out: no small disk can be made here (%v)", err)
		return
	}
	defer unmount()
	var o diskFault
	for end := t.until(); time.Now().Before(end) && len(t.failures) == 0; {
		o.inject(ctx, t, "the disk is full", func() error {
			if fill(filler) == nil {
				return errors.New("the disk does not get full")
			}
			return nil
		}, func() error { return os.Remove(filler) })
	}
	o.report(t)
	t.load.wait()
	t.check(ctx)
}

// failingDisk makes syncs fail, then writes, then writes for lack of space, in
// turn, on the disk of a shop that is one process.
func failingDisk(ctx context.Context, t *trial) {
	var disk *fuseDisk
	unmount, err := t.moveTo(func(at string) (_ func() error, err error) {
		program, err := buildTool(ctx, t.dir, "faultyfs")
		if err != nil {
			return nil, err
		}
		disk, err = mountDisk(program, filepath.Join(t.dir, "beneath"), at)
		return disk.unmount, err
	})
	if err != nil {
		t.record("left out: no disk that fails can be made here (%v)", err)
		return
	}
	defer unmount()
	kinds := []struct{ fails, says string }{
		{"fsync EIO", "the storage has failed"}, {"write EIO", "the storage has failed"}, {"write ENOSPC", "the disk is full"},
	}
	var o diskFault
	failed := 0
	end := t.until()
	for i := 0; i < len(kinds) || time.Now().Before(end); i++ {
		if len(t.failures) > 0 {
			break
		}
		kind := kinds[i%len(kinds)]
		broken := false
		o.inject(ctx, t, kind.says, func() error {
			if broken {
				return nil
			}
			broken = true
			_, err := disk.command("fail " + kind.fails)
			return err
		}, func() error {
			answer, err := disk.command("mend")
			if err != nil {
				return err
			}
			calls, err := strconv.Atoi(answer)
			failed += calls
			return err
		})
	}
	o.report(t)
	t.record("%d calls failed", failed)
	t.load.wait()
	t.check(ctx)
}

// diskFault measures how a shop behaves while its disk fails, several times.
type diskFault struct {
	times                       int
	noticed, refused, recovered []time.Duration
	reads                       int
}

// inject breaks the disk for a while and then repairs it. It checks that the shop
// reports the fault, rejects orders at once, still answers queries, and recovers.
func (o *diskFault) inject(ctx context.Context, t *trial, says string, keepBroken, mend func() error) {
	pause(ctx, t.between(200*time.Millisecond, time.Second))
	o.times++
	began := time.Now()
	err := eventually(ctx, 10*time.Second, func() error {
		if err := keepBroken(); err != nil {
			return err
		}
		if failed, err := t.metric("lonja_store_failed"); err != nil || failed != "1" {
			return fmt.Errorf("lonja_store_failed is %q (%v)", failed, err)
		}
		return nil
	})
	o.noticed = append(o.noticed, time.Since(began))
	if err == nil {
		err = t.expectReadyz(says)
	}
	if err != nil {
		t.fail("%s, but the shop does not report it: %v", says, err)
	}
	for until := time.Now().Add(t.between(300*time.Millisecond, 2*time.Second)); err == nil && time.Now().Before(until); {
		t.must(keepBroken())
		began := time.Now()
		a := t.order(ctx, o.times)
		o.refused = append(o.refused, time.Since(began))
		if a.status != 503 || !strings.Contains(string(a.body), says) || a.header.Get("Retry-After") == "" {
			t.fail("%s, and an order is answered %d, Retry-After %q: %s", says, a.status, a.header.Get("Retry-After"), a.body)
			break
		}
		if a, err := t.load.admin.do(ctx, "GET", "/api/products?limit=5", ""); err != nil || a.status != 200 {
			t.fail("%s, and products cannot be read: %d %s (%v)", says, a.status, a.body, err)
		}
		o.reads++
	}
	t.must(mend())
	began = time.Now()
	t.must(eventually(ctx, 20*time.Second, func() error {
		if a := t.order(ctx, o.times); a.status != 201 {
			return fmt.Errorf("after the disk was repaired: %d %s", a.status, a.body)
		}
		return nil
	}))
	o.recovered = append(o.recovered, time.Since(began))
	t.must(eventually(ctx, 20*time.Second, t.ready))
}

func (o *diskFault) report(t *trial) {
	t.record("%d times: noticed %s; %d orders rejected %s while %d reads succeeded; orders again %s",
		o.times, spread(o.noticed), len(o.refused), spread(o.refused), o.reads, spread(o.recovered))
}

// spread returns the median and the maximum of some times.
func spread(times []time.Duration) string {
	if len(times) == 0 {
		return "never"
	}
	slices.Sort(times)
	return fmt.Sprintf("after %v (%v at worst)", times[len(times)/2].Round(time.Millisecond), times[len(times)-1].Round(time.Millisecond))
}

// order places a new order once and returns the answer.
func (t *trial) order(ctx context.Context, round int) answer {
	buyer := t.load.customers[round%len(t.load.customers)]
	c := &command{kind: "place", by: buyer, path: "/api/orders", body: orderOf(sku(5), 1), tries: 1, began: time.Now(),
		key: fmt.Sprintf("ordeal-%d-%d", round, time.Now().UnixNano())}
	t.history.add(c)
	a, err := buyer.do(ctx, "POST", c.path, c.body, "Idempotency-Key", c.key)
	t.history.mu.Lock()
	defer t.history.mu.Unlock()
	if c.ended, c.result = time.Now(), unknown; err == nil {
		c.record(a)
	}
	return a
}

// expectReadyz checks that the shop is not ready and reports why.
func (t *trial) expectReadyz(why string) error {
	err := t.ready()
	if err == nil || !strings.Contains(err.Error(), why) {
		return fmt.Errorf("readyz says %v", err)
	}
	return nil
}

// metric returns the value of a metric without labels.
func (t *trial) metric(name string) (string, error) {
	all, err := newClient(t.gateways[0], transport).Metrics(context.Background())
	for line := range strings.Lines(all) {
		if value, ok := strings.CutPrefix(line, name+" "); ok {
			return strings.TrimSpace(value), nil
		}
	}
	return "", errors.Join(err, fmt.Errorf("there is no metric %s", name))
}

// moveTo moves a shop that is one process to another disk. Mount mounts the disk on
// an empty folder. The caller must call end, which kills the shop and unmounts the
// disk.
func (t *trial) moveTo(mount func(at string) (unmount func() error, err error)) (end func(), err error) {
	up := t.parts["up"]
	if err := up.stop(); err != nil {
		return nil, err
	}
	before := t.dir + "-before"
	if err := errors.Join(os.Rename(t.data(), before), os.Mkdir(t.data(), 0o755)); err != nil {
		return nil, err
	}
	defer os.RemoveAll(before)
	unmount, err := mount(t.data())
	if err != nil {
		return nil, err
	}
	end = func() {
		up.kill()
		t.must(unmount())
	}
	if err := errors.Join(os.CopyFS(t.data(), os.DirFS(before)), up.start()); err != nil {
		end()
		return nil, err
	}
	return end, nil
}

// smallDisk mounts a tmpfs. It requires root.
func smallDisk(at, size string) (unmount func() error, err error) {
	if out, err := exec.Command("mount", "-t", "tmpfs", "-o", "size="+size, "lonja-chaos", at).CombinedOutput(); err != nil {
		return nil, fmt.Errorf("%w: %s", err, out)
	}
	return exec.Command("umount", at).Run, nil
}
