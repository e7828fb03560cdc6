// Command bench measures a whole shop on this machine. Next to each figure it
// measures the limit that the layers below set, in the same run. Absolute figures
// differ between machines and from minute to minute; the share of the limit stays
// comparable.
//
// The shop runs as its own process, as lonja up does by default: an event is synced
// before anything follows from it, together with those that wait at the same time. It
// is driven over HTTP by connections that each send one request after another. The
// limits are appends straight to JetStream that the server syncs one by one, so many
// connections can exceed them; HTTP to a NATS request to a constant reply; and rows into
// SQLite, each in a process of its own.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"time"
)

type options struct {
	quick      bool
	duration   time.Duration
	only       string
	profile    string
	program    string
	storm      int
	offered    int
	offeredFor time.Duration
	scale      int
	data       string
	markdown   bool
}

func main() {
	if len(os.Args) > 1 && helpers[os.Args[1]] != nil {
		exit(helpers[os.Args[1]](os.Args[2:]))
	}
	// A closed pipe, as with head, must also end the processes that were started.
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGPIPE)
	var o options
	flag.BoolVar(&o.quick, "quick", false, "a second for each figure, and a smaller rebuild: shows that it works, not how fast it is")
	flag.DurationVar(&o.duration, "duration", 5*time.Second, "how long each figure is measured")
	flag.StringVar(&o.only, "only", "", "measure only workloads whose name contains this; with -scale, only one of log, rebuild, load and restarts")
	flag.StringVar(&o.profile, "profile", "", "write CPU and allocation profiles of the shop at 64 connections into this folder")
	flag.IntVar(&o.offered, "offered", 900, "how many orders a second are offered in the intake, without waiting for answers")
	flag.DurationVar(&o.offeredFor, "offered-for", time.Minute, "how long they are offered")
	flag.StringVar(&o.program, "program", "", "path of a lonja binary to measure; without it, lonja is built")
	flag.IntVar(&o.storm, "storm", 10_000, "how many payments are due at once in the expiry storm")
	flag.IntVar(&o.scale, "scale", 0, "seed a shop and measure it at 1 k, 10 k, 100 k, 1 M … orders, up to this many; 0 measures an empty shop against its limits")
	flag.StringVar(&o.data, "data", "", "with -scale: the folder of the seeded shop, which is kept and seeded further the next time; default: a temporary one")
	flag.BoolVar(&o.markdown, "markdown", false, "with -scale: print the table as Markdown, for docs/performance.md")
	flag.Parse()
	if o.quick {
		o.duration = time.Second
	}
	err := o.check()
	switch {
	case err != nil:
	case o.scale > 0:
		err = runScale(ctx, o)
	default:
		err = run(ctx, o)
	}
	stop()
	exit(err)
}

// check returns an error about flags that do not go together.
func (o options) check() error {
	switch {
	case o.scale < 0 || o.scale > 0 && o.scale < 1000:
		return fmt.Errorf("-scale must be 1000 or more orders, not %d", o.scale)
	case o.scale == 0 && (o.data != "" || o.markdown):
		return errors.New("-data and -markdown are of -scale; give it, too")
	case o.scale > 0 && !slices.Contains([]string{"", "log", "rebuild", "load", "restarts"}, o.only):
		return fmt.Errorf("-only must be log, rebuild, load or restarts with -scale, not %q", o.only)
	case o.offered < 1 || o.offered > 100_000 || o.offeredFor <= 0:
		return fmt.Errorf("-offered must be 1 to 100000 orders a second and -offered-for longer than 0, not %d and %v", o.offered, o.offeredFor)
	case o.duration <= 0:
		return fmt.Errorf("-duration must be a positive duration such as 5s, not %v", o.duration)
	}
	return nil
}

func exit(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
	os.Exit(0)
}

func run(ctx context.Context, o options) (err error) {
	dir, err := os.MkdirTemp("", "lonja-bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	fmt.Printf("%s, %d cores, shared with the load; data in %s\n", runtime.Version(), runtime.NumCPU(), dir)
	program := o.program
	if program == "" {
		if program, err = build(ctx, dir); err != nil {
			return err
		}
	}
	switch {
	case o.only == "":
	case strings.Contains(stormName, o.only):
		return measureStorm(ctx, program, dir, o)
	case strings.Contains(intakeName, o.only):
		return measureIntake(ctx, program, dir, o)
	}
	s, err := openAndMeasure(ctx, program, filepath.Join(dir, "shop"), o)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.stop()) }()
	l, err := newLimits(ctx, dir)
	if err != nil {
		return err
	}
	defer l.stop()
	if err := l.loadSample(ctx, s); err != nil {
		return err
	}
	fmt.Printf("an order's first event, of three lines, has %d bytes and %d bytes of headers\n", len(l.event.Data), headerSize(l.event.Header))
	if err := drive(ctx, s, l, o); err != nil {
		return err
	}
	now, peak, err := s.memory()
	if err != nil {
		return err
	}
	fmt.Printf("\nmemory after the load %d MB, at its highest %d MB\n", now>>20, peak>>20)
	if o.only != "" && !strings.Contains("rebuild", o.only) {
		return nil
	}
	eventCount := 100_000
	if o.quick {
		eventCount = 10_000
	}
	r, err := rebuild(ctx, l, program, eventCount, o.duration)
	if err != nil {
		return err
	}
	r.print()
	if o.only != "" {
		return nil
	}
	if err := measureIntake(ctx, program, dir, o); err != nil {
		return err
	}
	return measureStorm(ctx, program, dir, o)
}

// measureIntake measures a shop of its own, which takes only the orders that it can carry.
func measureIntake(ctx context.Context, program, dir string, o options) (err error) {
	if o.quick {
		o.offered, o.offeredFor = min(o.offered, 50), min(o.offeredFor, 2*time.Second)
	}
	s, err := openHolding(ctx, program, filepath.Join(dir, "intake"))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.stop()) }()
	if err := s.seed(ctx); err != nil {
		return err
	}
	t, err := intake(ctx, s, o.offered, o.offeredFor)
	if err != nil {
		return fmt.Errorf("%s: %w", intakeName, err)
	}
	t.print(o.offered, o.offeredFor)
	return nil
}

// stormName is the name by which --only chooses the storm.
const stormName = "expiry storm"

func measureStorm(ctx context.Context, program, dir string, o options) error {
	size := o.storm
	if o.quick {
		size = min(size, 200)
	}
	r, err := storm(ctx, program, dir, size, o.duration)
	if err != nil {
		return err
	}
	r.print()
	return nil
}

// openAndMeasure starts the shop twice, first with an empty folder, and seeds it.
func openAndMeasure(ctx context.Context, program, data string, o options) (*shop, error) {
	var more []string
	if o.profile != "" {
		if err := os.MkdirAll(o.profile, 0o755); err != nil {
			return nil, err
		}
		more = []string{"--pprof", "127.0.0.1:0"}
	}
	first, err := open(ctx, program, data, more...)
	if err != nil {
		return nil, err
	}
	memory, _, err := first.memory()
	if err == nil {
		err = first.stop()
	}
	if err != nil {
		return nil, err
	}
	s, err := open(ctx, program, data, more...)
	if err != nil {
		return nil, err
	}
	fmt.Printf("ready in %d ms the first time, %d ms the second, %d MB\n", first.toReady.Milliseconds(), s.toReady.Milliseconds(), memory>>20)
	if err := s.seed(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("seeding: %w", err), s.stop())
	}
	return s, nil
}

// drive measures every workload at every number of connections, and its limit
// right after it.
func drive(ctx context.Context, s *shop, l *limits, o options) error {
	table := newTable()
	for _, w := range workloads {
		if !strings.Contains(w.name, o.only) {
			continue
		}
		for _, connections := range []int{1, 16, 64} {
			row, err := measure(ctx, s, l, w, connections, o)
			if err != nil {
				return fmt.Errorf("%s at %d connections: %w", w.name, connections, err)
			}
			table.print(row)
		}
	}
	return nil
}

func measure(ctx context.Context, s *shop, l *limits, w workload, connections int, o options) (row, error) {
	r := row{name: w.name, connections: connections}
	if err := s.keepLoggedIn(ctx); err != nil {
		return r, err
	}
	op, size, closeAll, err := w.drive(s, connections)
	if err != nil {
		return r, err
	}
	defer closeAll()
	if _, err := load(ctx, connections, o.duration/5, op); err != nil { // warm up
		return r, err
	}
	profiled := func() error { return nil }
	if o.profile != "" && connections == 64 {
		profiled = profile(ctx, s, o.profile, w.name, o.duration)
	}
	if err := r.run(ctx, s, op, connections, o.duration); err != nil {
		return r, err
	}
	if err := profiled(); err != nil {
		return r, err
	}
	if w.fills {
		if r.behind, err = s.awaitIdle(ctx); err != nil {
			return r, err
		}
	}
	return r, r.runLimit(ctx, w, l, int(size.Load()), o.duration)
}

// run applies the load and records the result and the CPU time of both sides.
func (r *row) run(ctx context.Context, s *shop, op operation, connections int, d time.Duration) error {
	appended, err := s.appended(ctx)
	if err != nil {
		return err
	}
	server, err := s.cpu()
	if err != nil {
		return err
	}
	client := ownCPU()
	if r.shop, err = load(ctx, connections, d, op); err != nil {
		return err
	}
	now, err := s.cpu()
	if err != nil {
		return err
	}
	r.server, r.client = now-server, ownCPU()-client
	all, err := s.appended(ctx)
	r.appends = all - appended
	return err
}

func (r *row) runLimit(ctx context.Context, w workload, l *limits, size int, d time.Duration) error {
	name, begin := w.limit(l, size)
	r.limitName = name
	op, end, err := begin(r.connections)
	if err != nil {
		return err
	}
	defer end()
	if _, err := load(ctx, r.connections, d/5, op); err != nil {
		return err
	}
	r.limit, err = load(ctx, r.connections, d, op)
	return err
}

func headerSize(h map[string][]string) (n int) {
	for name, values := range h {
		n += len(name) + len(slices.Concat(values)[0]) + 4
	}
	return n
}
