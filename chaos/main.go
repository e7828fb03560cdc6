// Command chaos breaks a shop in many ways while customers buy in it, and then
// checks that lonja kept its promises: nothing acknowledged is lost, nothing
// happens twice, and everything heals by itself or stops and says why.
//
// Everything is real: processes of the real program, a NATS server or three,
// files, signals. Each fault of the table (see faults.go) is one trial: a shop
// is opened, customers buy, something breaks and is mended, the shop comes to
// rest, and its history is checked against the log and against what its
// customers were told. The same seed makes the same decisions, though not the
// same interleaving.
package main

import (
	"context"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

type options struct {
	seed    uint64
	names   names
	load    time.Duration
	long    bool
	keep    string
	program string
}

// names is a flag that may be given several times.
type names []string

func (n *names) String() string     { return strings.Join(*n, ",") }
func (n *names) Set(s string) error { *n = append(*n, s); return nil }

func main() {
	if child() {
		return
	}
	var o options
	var list bool
	flag.Uint64Var(&o.seed, "seed", rand.Uint64N(1_000_000), "makes the same decisions again")
	flag.Var(&o.names, "fault", "only this fault; may be given several times")
	flag.DurationVar(&o.load, "seconds", 10*time.Second, "how long each fault goes on under load, such as 10s")
	flag.BoolVar(&o.long, "long", false, "freeze processes for 30 s instead of 8")
	flag.BoolVar(&list, "list", false, "list the faults and end")
	flag.StringVar(&o.keep, "keep", "", "keep all logs, stores and views in this folder")
	flag.StringVar(&o.program, "program", "", "a built lonja to test, instead of building it")
	flag.Parse()
	if list {
		for _, f := range faults {
			fmt.Printf("%-20s %s\n", f.name, f.holds)
		}
		return
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, o)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "chaos:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, o options) error {
	chosen, err := choose(o.names)
	if err != nil {
		return err
	}
	dir, done, err := workshop(o.keep)
	if err != nil {
		return err
	}
	defer done()
	if o.program == "" {
		if o.program, err = build(ctx, dir); err != nil {
			return err
		}
	}
	fmt.Printf("seed %d\n", o.seed)
	broken := 0
	for _, f := range chosen {
		t := newTrial(f, o, filepath.Join(dir, f.name))
		t.run(ctx)
		t.print()
		if len(t.wrongs) > 0 {
			broken++
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
	}
	if broken > 0 {
		return fmt.Errorf("%d of %d faults did harm; again with --seed %d", broken, len(chosen), o.seed)
	}
	fmt.Printf("%d faults, no harm done\n", len(chosen))
	return nil
}

func choose(wanted names) ([]fault, error) {
	if len(wanted) == 0 {
		return faults, nil
	}
	var chosen []fault
	for _, name := range wanted {
		found := false
		for _, f := range faults {
			if f.name == name {
				chosen, found = append(chosen, f), true
			}
		}
		if !found {
			return nil, fmt.Errorf("there is no fault %q; see --list", name)
		}
	}
	return chosen, nil
}

// workshop is the folder to work in, and what to do at the end.
func workshop(keep string) (dir string, done func(), err error) {
	if keep != "" {
		dir, err = filepath.Abs(keep)
		if err != nil {
			return "", nil, err
		}
		return dir, func() {}, os.MkdirAll(dir, 0o755)
	}
	dir, err = os.MkdirTemp("", "lonja-chaos-")
	return dir, func() { _ = os.RemoveAll(dir) }, err
}

// build builds the program that is tested.
func build(ctx context.Context, dir string) (program string, err error) {
	return goBuild(ctx, filepath.Join(dir, "lonja"), "lonja/cmd/lonja")
}

func goBuild(ctx context.Context, program, of string, flags ...string) (string, error) {
	args := append(append([]string{"build"}, flags...), "-o", program, of)
	if out, err := exec.CommandContext(ctx, "go", args...).CombinedOutput(); err != nil {
		return "", fmt.Errorf("go build: %w\n%s", err, out)
	}
	return program, nil
}
