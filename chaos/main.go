// Command chaos injects faults into a shop under load and then checks lonja's
// promises: nothing acknowledged is lost, nothing happens twice, and everything
// recovers by itself or stops and reports why.
//
// Everything is real: processes of the real program, one or three NATS servers,
// files, signals. Each fault in the table (see faults.go) is one trial. A trial
// starts a shop, puts it under load, injects the fault, repairs it, and waits
// until the shop is idle. Then it checks the log, and compares the log with the
// answers that the customers got. The same seed makes the same decisions, but not
// the same interleaving.
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
	seed     uint64
	names    names
	duration time.Duration
	long     bool
	keep     string
	program  string
	old      string
	sync     string
	cuts     int
	perLife  int
	strict   bool
}

// names is a flag that may be given several times.
type names []string

func (n *names) String() string     { return strings.Join(*n, ",") }
func (n *names) Set(s string) error { *n = append(*n, s); return nil }

func main() {
	if runNode() {
		return
	}
	var o options
	var list bool
	flag.Uint64Var(&o.seed, "seed", rand.Uint64N(1_000_000), "seed of the random decisions; the same seed makes the same ones")
	flag.Var(&o.names, "fault", "inject only this fault; can be repeated")
	flag.DurationVar(&o.duration, "seconds", 10*time.Second, "how long each fault lasts under load, such as 10s")
	flag.BoolVar(&o.long, "long", false, "freeze processes for 30 s instead of 8")
	flag.BoolVar(&list, "list", false, "list the faults and exit")
	flag.StringVar(&o.keep, "keep", "", "keep all logs, stores and views in this folder")
	flag.StringVar(&o.program, "program", "", "path of a lonja binary to test; without it, lonja is built")
	flag.StringVar(&o.old, "old", "", "path of a lonja binary of the version before, "+previousCommit+", for mixed-versions; without it, that is built from git's history")
	flag.StringVar(&o.sync, "sync", "", "what shops that are one process get as --sync; without it, lonja's default. When power-cuts gets a duration, it must find lost orders")
	flag.IntVar(&o.cuts, "cuts", 10, "how many power cuts power-cuts makes")
	flag.IntVar(&o.perLife, "cuts-per-folder", 10, "how many of them a data folder lives through; then everything is checked")
	flag.BoolVar(&o.strict, "strict-names", false, "the disk of power-cuts knows a name only once its folder was synced, as POSIX has it; without it, as on ext4 and XFS, also once its file was")
	flag.Parse()
	if list {
		for _, f := range faults {
			fmt.Printf("%-20s %s\n", f.name, f.promise)
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
	dir, done, err := workDir(o.keep)
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
		if len(t.failures) > 0 {
			broken++
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
	}
	if broken > 0 {
		return fmt.Errorf("%d of %d faults broke a promise; repeat with --seed %d", broken, len(chosen), o.seed)
	}
	fmt.Printf("%d faults, every promise kept\n", len(chosen))
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

// workDir returns the folder to work in, and a function that cleans it up.
func workDir(keep string) (dir string, done func(), err error) {
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
