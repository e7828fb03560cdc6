package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"sync"
	"time"
)

// trial is one fault, tried on a shop of its own.
type trial struct {
	*shop
	fault   fault
	options options
	dir     string
	rng     *rand.Rand
	history *history
	crowd   *crowd
	log     *facts // as it is in the end
	took    time.Duration

	mu      sync.Mutex
	wrongs  []string // promises that were not kept
	figures []string // what was measured
}

func newTrial(f fault, o options, dir string) *trial {
	return &trial{fault: f, options: o, dir: dir, history: newHistory(), rng: rand.New(rand.NewPCG(o.seed, 1))}
}

// wrong notes a promise that was not kept.
func (t *trial) wrong(format string, args ...any) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.wrongs) < 20 {
		t.wrongs = append(t.wrongs, fmt.Sprintf(format, args...))
	}
}

// must notes an error as a promise that was not kept.
func (t *trial) must(err error) bool {
	if err != nil {
		t.wrong("%v", err)
	}
	return err == nil
}

// measured notes a figure.
func (t *trial) measured(format string, args ...any) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.figures = append(t.figures, fmt.Sprintf(format, args...))
}

// opening bounds how long the shop may take to open and its people to come.
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
	if t.fault.load {
		t.crowd.begin(ctx, t.options.seed)
	}
	t.fault.happen(ctx, t)
	t.crowd.end()
	for _, p := range t.history.problems {
		t.wrong("%s", p)
	}
	if len(t.wrongs) == 0 && !t.fault.final && ctx.Err() == nil {
		t.check(ctx)
	}
}

func (t *trial) open(ctx context.Context) (err error) {
	if err := os.RemoveAll(t.dir); err != nil { // kept from another time
		return err
	}
	if t.fault.on.clocks != nil {
		if t.options.program, err = t.withClock(ctx); err != nil {
			return err
		}
	}
	ctx, cancel := context.WithTimeout(ctx, opening)
	defer cancel()
	if t.shop, err = openShop(ctx, t.fault.on, t.options.program, t.dir); err != nil {
		return fmt.Errorf("the shop does not open: %w", err)
	}
	if t.crowd, err = invite(ctx, t.shop, t.history, 8); err != nil {
		return fmt.Errorf("nobody comes: %w", err)
	}
	t.crowd.patient = t.fault.patient
	if t.fault.load && !t.fault.patient {
		t.crowd.clerks, err = hire(ctx, t.crowd, t.options.seed)
	}
	return err
}

// withClock is the program to test where clocks are wrong.
func (t *trial) withClock(ctx context.Context) (program string, err error) {
	if err := os.MkdirAll(t.dir, 0o755); err != nil {
		return "", err
	}
	return buildWithClock(ctx, t.dir, "lonja/cmd/lonja")
}

func (t *trial) print() {
	verdict := "ok   "
	if len(t.wrongs) > 0 {
		verdict = "WRONG"
	}
	fmt.Printf("%s %-20s %5.1fs  %s\n", verdict, t.fault.name, t.took.Seconds(), strings.Join(t.figures, ", "))
	for _, w := range t.wrongs {
		fmt.Printf("      - %s\n", w)
	}
}

// until is when the fault's time is over.
func (t *trial) until() time.Time { return time.Now().Add(t.options.load) }

// frozen is how long processes are frozen.
func (t *trial) frozen() time.Duration {
	if t.options.long {
		return 30 * time.Second
	}
	return 8 * time.Second
}

// between is a time from least to most, as the seed says.
func (t *trial) between(least, most time.Duration) time.Duration {
	return least + time.Duration(t.rng.Int64N(int64(most-least)))
}
