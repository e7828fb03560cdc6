package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// upFull fills the disk of a shop that is one process, and makes room again, as
// often as there is time. Somebody else's file fills it, up to the last byte.
func upFull(ctx context.Context, t *trial) {
	filler := filepath.Join(t.data(), "filler")
	unmount, err := t.moveTo(func(at string) (func() error, error) { return smallDisk(at, "64m") })
	if err != nil {
		t.measured("left out: no small disk can be made here (%v)", err)
		return
	}
	defer unmount()
	var o ordeal
	for end := t.until(); time.Now().Before(end) && len(t.wrongs) == 0; {
		o.suffer(ctx, t, "the disk is full", func() error {
			if fill(filler) == nil {
				return errors.New("the disk does not get full")
			}
			return nil
		}, func() error { return os.Remove(filler) })
	}
	o.report(t)
	t.crowd.end()
	t.check(ctx)
}

// brokenDisk makes writes fail, and syncs, and full writes, in turn, beneath a
// shop that is one process.
func brokenDisk(ctx context.Context, t *trial) {
	var disk *faultyDisk
	unmount, err := t.moveTo(func(at string) (_ func() error, err error) {
		disk, err = faulty(ctx, t.dir, at)
		return disk.end, err
	})
	if err != nil {
		t.measured("left out: no disk that fails can be made here (%v)", err)
		return
	}
	defer unmount()
	kinds := []struct{ fails, says string }{
		{"fsync EIO", "the storage has failed"}, {"write EIO", "the storage has failed"}, {"write ENOSPC", "the disk is full"},
	}
	var o ordeal
	end := t.until()
	for i := 0; i < len(kinds) || time.Now().Before(end); i++ {
		if len(t.wrongs) > 0 {
			break
		}
		kind := kinds[i%len(kinds)]
		broken := false
		o.suffer(ctx, t, kind.says, func() error {
			if broken {
				return nil
			}
			broken = true
			return disk.tell("fail " + kind.fails)
		}, func() error { return disk.tell("mend") })
	}
	o.report(t)
	t.measured("%s", disk)
	t.crowd.end()
	t.check(ctx)
}

// ordeal is what a shop went through, several times.
type ordeal struct {
	times                    int
	noticed, refused, healed []time.Duration
	reads                    int
}

// suffer breaks the disk and keeps it broken for a while, then mends it, and
// makes sure that the shop says so, refuses at once, goes on reading and heals.
func (o *ordeal) suffer(ctx context.Context, t *trial, says string, keepBroken, mend func() error) {
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
		err = t.saysInReadyz(says)
	}
	if err != nil {
		t.wrong("%s, and the shop does not say so: %v", says, err)
	}
	for until := time.Now().Add(t.between(300*time.Millisecond, 2*time.Second)); err == nil && time.Now().Before(until); {
		t.must(keepBroken())
		began := time.Now()
		a := t.order(ctx, o.times)
		o.refused = append(o.refused, time.Since(began))
		if a.status != 503 || !strings.Contains(string(a.body), says) || a.header.Get("Retry-After") == "" {
			t.wrong("%s, and an order is answered %d, Retry-After %q: %s", says, a.status, a.header.Get("Retry-After"), a.body)
			break
		}
		if a, err := t.crowd.boss.do(ctx, "GET", "/api/products?limit=5", ""); err != nil || a.status != 200 {
			t.wrong("%s, and products cannot be read: %d %s (%v)", says, a.status, a.body, err)
		}
		o.reads++
	}
	t.must(mend())
	began = time.Now()
	t.must(eventually(ctx, 20*time.Second, func() error {
		if a := t.order(ctx, o.times); a.status != 201 {
			return fmt.Errorf("after the disk was mended: %d %s", a.status, a.body)
		}
		return nil
	}))
	o.healed = append(o.healed, time.Since(began))
	t.must(eventually(ctx, 20*time.Second, t.ready))
}

func (o *ordeal) report(t *trial) {
	t.measured("%d times: noticed %s; %d orders refused %s while %d reads went on; orders again %s",
		o.times, spread(o.noticed), len(o.refused), spread(o.refused), o.reads, spread(o.healed))
}

// spread is the median and the worst of some times.
func spread(times []time.Duration) string {
	if len(times) == 0 {
		return "never"
	}
	slices.Sort(times)
	return fmt.Sprintf("after %v (%v at worst)", times[len(times)/2].Round(time.Millisecond), times[len(times)-1].Round(time.Millisecond))
}

// order commands for a new order once and returns the answer.
func (t *trial) order(ctx context.Context, round int) answer {
	buyer := t.crowd.customers[round%len(t.crowd.customers)]
	w := &wish{kind: "place", who: buyer, path: "/api/orders", body: orderOf(sku(5), 1), tries: 1, began: time.Now(),
		key: fmt.Sprintf("ordeal-%d-%d", round, time.Now().UnixNano())}
	t.history.add(w)
	a, err := buyer.do(ctx, "POST", w.path, w.body, "Idempotency-Key", w.key)
	t.history.mu.Lock()
	defer t.history.mu.Unlock()
	if w.ended, w.result = time.Now(), unknown; err == nil {
		w.learn(a)
	}
	return a
}

// saysInReadyz makes sure that the shop is not ready and says why.
func (t *trial) saysInReadyz(why string) error {
	err := t.ready()
	if err == nil || !strings.Contains(err.Error(), why) {
		return fmt.Errorf("readyz says %v", err)
	}
	return nil
}

// metric is the value of one that has no labels.
func (t *trial) metric(name string) (string, error) {
	all, err := visit(t.gateways[0], web).Metrics(context.Background())
	for line := range strings.Lines(all) {
		if value, ok := strings.CutPrefix(line, name+" "); ok {
			return strings.TrimSpace(value), nil
		}
	}
	return "", errors.Join(err, fmt.Errorf("there is no metric %s", name))
}

// moveTo moves a shop that is one process to another disk, which mount puts at an
// empty folder. Whoever is called in the end kills the shop and takes the disk away.
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

// smallDisk mounts a disk in memory. It takes root.
func smallDisk(at, size string) (unmount func() error, err error) {
	if out, err := exec.Command("mount", "-t", "tmpfs", "-o", "size="+size, "lonja-chaos", at).CombinedOutput(); err != nil {
		return nil, fmt.Errorf("%w: %s", err, out)
	}
	return exec.Command("umount", at).Run, nil
}
