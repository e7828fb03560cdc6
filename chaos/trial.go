package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"sync"
	"time"
)

// trial is one fault, injected into a shop of its own.
type trial struct {
	*shop
	fault   fault
	options options
	dir     string
	rng     *rand.Rand
	history *history
	load    *load
	log     *eventLog // at the end
	took    time.Duration

	mu       sync.Mutex
	failures []string // broken promises
	figures  []string // what was measured
}

func newTrial(f fault, o options, dir string) *trial {
	return &trial{fault: f, options: o, dir: dir, history: newHistory(), rng: rand.New(rand.NewPCG(o.seed, 1))}
}

// fail records a broken promise.
func (t *trial) fail(format string, args ...any) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.failures) < 20 {
		t.failures = append(t.failures, fmt.Sprintf(format, args...))
	}
}

// must records an error as a broken promise. It reports whether err is nil.
func (t *trial) must(err error) bool {
	if err != nil {
		t.fail("%v", err)
	}
	return err == nil
}

// record records a measurement.
func (t *trial) record(format string, args ...any) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.figures = append(t.figures, fmt.Sprintf(format, args...))
}

// opening bounds the time to start the shop and register its users.
const opening = 3 * time.Minute

func (t *trial) run(ctx context.Context) {
	began := time.Now()
	defer func() { t.took = time.Since(began) }()
	if t.options.keep == "" {
		defer os.RemoveAll(t.dir)
	}
	err := t.open(ctx)
	if t.shop != nil {
		defer t.shop.close()
	}
	if !t.must(err) {
		return
	}
	if t.fault.underLoad {
		t.load.start(ctx, t.options.seed)
	}
	t.fault.inject(ctx, t)
	t.load.wait()
	for _, p := range t.history.problems {
		t.fail("%s", p)
	}
	if len(t.failures) == 0 && !t.fault.final && ctx.Err() == nil {
		t.check(ctx)
	}
}

func (t *trial) open(ctx context.Context) (err error) {
	if err := os.RemoveAll(t.dir); err != nil { // kept from an earlier run
		return err
	}
	if t.fault.on.clockOffsets != nil {
		if t.options.program, err = t.withClock(ctx); err != nil {
			return err
		}
	}
	program := t.options.program
	if t.fault.previous {
		if program, err = t.previous(ctx); err != nil {
			return err
		}
	}
	ctx, cancel := context.WithTimeout(ctx, opening)
	defer cancel()
	on := t.fault.on
	if on.nodes == 0 && t.options.sync != "" {
		on = on.with(append(slices.Clone(on.flags), "--sync", t.options.sync)...)
	}
	if t.shop, err = openShop(ctx, on, program, t.dir); err != nil {
		return fmt.Errorf("start the shop: %w", err)
	}
	if t.load, err = newLoad(ctx, t.shop, t.history, 8); err != nil {
		return fmt.Errorf("prepare the load: %w", err)
	}
	t.load.patient, t.load.noRefunds = t.fault.patient, t.fault.previous
	if t.fault.underLoad && !t.fault.patient {
		t.load.stockClients, err = newStockClients(ctx, t.load, t.options.seed)
	}
	return err
}

// previous returns the program of the version before, built if need be.
func (t *trial) previous(ctx context.Context) (program string, err error) {
	if t.options.old != "" {
		return t.options.old, nil
	}
	if err := os.MkdirAll(t.dir, 0o755); err != nil {
		return "", err
	}
	return buildPrevious(ctx, t.dir)
}

// withClock builds the program with a clock that can be wrong.
func (t *trial) withClock(ctx context.Context) (program string, err error) {
	if err := os.MkdirAll(t.dir, 0o755); err != nil {
		return "", err
	}
	return buildWithClock(ctx, t.dir, "lonja/cmd/lonja")
}

func (t *trial) print() {
	verdict := "ok   "
	if len(t.failures) > 0 {
		verdict = "WRONG"
	}
	fmt.Printf("%s %-20s %5.1fs  %s\n", verdict, t.fault.name, t.took.Seconds(), strings.Join(t.figures, ", "))
	for _, w := range t.failures {
		fmt.Printf("      - %s\n", w)
	}
}

// until returns when the fault ends.
func (t *trial) until() time.Time { return time.Now().Add(t.options.duration) }

// frozen returns how long processes are frozen.
func (t *trial) frozen() time.Duration {
	if t.options.long {
		return 30 * time.Second
	}
	return 8 * time.Second
}

// between returns a duration from least to most that depends on the seed.
func (t *trial) between(least, most time.Duration) time.Duration {
	return least + time.Duration(t.rng.Int64N(int64(most-least)))
}
