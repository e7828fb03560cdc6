package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"time"

	"github.com/nats-io/nats.go"

	"lonja"
	"lonja/bench/seed"
	"lonja/client"
	"lonja/events"
	"lonja/kit/keyring"
	"lonja/kit/natsembed"
	"lonja/kit/streams"
)

// The sizes of a seeded shop.
const (
	seededProducts = 20_000
	seededAccounts = 5_000
	seededBy       = 1 // the seed
)

// stages are the numbers of orders at which a shop is measured.
var stages = []int{1_000, 10_000, 100_000, 1_000_000, 10_000_000}

// diskPerOrder is how many bytes a seeded order and its rows may take, in streams and views,
// while one view is rebuilt.
const diskPerOrder = 20 << 10

// scale seeds a shop, stage after stage, and measures it at each.
type scale struct {
	options
	program, self, data string
	state               *seed.State
	people              seed.People
	declared            *streams.Config
	out                 *scaleTable
	heap, messages      int64 // of the streams at the stage before, 0 at the first
}

// runScale measures a shop with more and more orders, up to o.scale.
func runScale(ctx context.Context, o options) (err error) {
	dir, err := os.MkdirTemp("", "lonja-bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	s := &scale{options: o, data: filepath.Join(dir, "shop"), out: &scaleTable{}}
	if o.data != "" {
		s.data = o.data
	}
	if s.self, err = os.Executable(); err != nil {
		return err
	}
	if err := s.checkSpace(dir); err != nil {
		return err
	}
	fmt.Printf("%s, %d cores, shared with the load; data in %s\n", runtime.Version(), runtime.NumCPU(), s.data)
	if s.program = o.program; s.program == "" {
		if s.program, err = build(ctx, dir); err != nil {
			return err
		}
	}
	if s.declared, err = streams.Parse(lonja.StreamsYAML); err != nil {
		return err
	}
	if err := s.begin(ctx); err != nil {
		return err
	}
	for _, n := range s.stages() {
		if err := s.stage(ctx, n); err != nil {
			return fmt.Errorf("at %d orders: %w", n, err)
		}
	}
	return s.out.print(o.markdown)
}

// stages returns the numbers of orders to measure at. What the folder holds already cannot be
// measured with less.
func (s *scale) stages() (at []int) {
	for _, n := range append(stages, s.scale) {
		if n >= s.state.Orders && (n < s.scale || n == s.scale && (len(at) == 0 || at[len(at)-1] != n)) {
			at = append(at, n)
		}
	}
	if len(at) == 0 {
		fmt.Printf("%s holds %d orders already: it is measured with these\n", s.data, s.state.Orders)
		return []int{s.state.Orders}
	}
	return at
}

// checkSpace returns an error when the disk is too small for so many orders.
func (s *scale) checkSpace(temp string) error {
	at := temp
	if s.data != "" && s.options.data != "" {
		if err := os.MkdirAll(s.data, 0o750); err != nil {
			return err
		}
		at = s.data
	}
	var disk syscall.Statfs_t
	if err := syscall.Statfs(at, &disk); err != nil {
		return err
	}
	held, err := sizeOf(s.data)
	if err != nil {
		return err
	}
	free, need := int64(disk.Bavail)*int64(disk.Bsize), int64(s.scale)*diskPerOrder-held
	if free < need {
		return fmt.Errorf("%s has %d MB free, but %d orders may take %d MB more; free some, or give a folder on another disk with --data", at, free>>20, s.scale, need>>20)
	}
	return nil
}

// begin starts a new shop and registers its people, or loads what a folder holds.
func (s *scale) begin(ctx context.Context) (err error) {
	if s.state, err = seed.LoadState(s.data); err != nil {
		return err
	}
	shop, err := open(ctx, s.program, s.data, append(seed.Flags, "--sync", "1s")...)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, shop.stop()) }()
	me, err := shop.logInAdmin(ctx)
	if err != nil {
		return err
	}
	s.people.Staff = events.UserID(me.ID)
	register := s.state == nil
	if register {
		s.state = seed.NewState(seededBy, seededProducts, seededAccounts, s.scale, time.Now())
		if _, err := shop.admin.SetRoles(ctx, me.ID, []string{client.Admin, client.Staff, client.Customer}); err != nil {
			return err
		}
	}
	for n := range customers {
		c := shop.seededCustomer(n)
		if register {
			if err := c.register(ctx); err != nil {
				return err
			}
		} else if err := c.logIn(ctx); err != nil {
			return err
		}
		who, err := c.Me(ctx)
		if err != nil {
			return err
		}
		s.people.Customers = append(s.people.Customers, events.UserID(who.ID))
	}
	return s.state.Save(s.data)
}

// seededCustomer returns customer n of a seeded shop, not logged in.
func (s *shop) seededCustomer(n int) *customer {
	return &customer{Client: s.web.Session(), shop: s, email: customerEmail(n), goods: goods{seededProducts * 99 / 100, seed.InStock}}
}

func (c *customer) logIn(ctx context.Context) error {
	t, err := c.LogIn(ctx, c.email, adminPassword)
	if err == nil {
		c.token = t.AccessToken
	}
	return err
}

// seedTo seeds the stopped shop until it has n orders.
func (s *scale) seedTo(ctx context.Context, n int) (err error) {
	if s.state.Orders >= n {
		return nil
	}
	dir := filepath.Join(s.data, "nats")
	release, err := natsembed.LockDir(dir)
	if err != nil {
		return err
	}
	defer release()
	server, err := natsembed.Start(natsembed.Config{Name: lonja.Name, Dir: dir, SharedDir: s.data, Addr: "127.0.0.1:0"})
	if err != nil {
		return err
	}
	s.state.Unfinished = true
	if err = s.state.Save(s.data); err == nil {
		err = s.seedOn(ctx, server.URL(), n)
	}
	server.Stop()
	if err != nil {
		return err
	}
	if err := syncAll(dir); err != nil {
		return err
	}
	s.state.Unfinished = false
	return s.state.Save(s.data)
}

func (s *scale) seedOn(ctx context.Context, url string, n int) error {
	nc, err := nats.Connect(url)
	if err != nil {
		return err
	}
	defer nc.Close()
	keks, err := keyring.LoadKEKs(filepath.Join(s.data, "kek"))
	if err != nil {
		return err
	}
	w, err := seed.New(ctx, nc, keks, s.state, s.people)
	if err != nil {
		return err
	}
	before, began := w.Appended(), time.Now()
	if err := w.Stock(ctx); err != nil {
		return err
	}
	if made := w.Appended() - before; made > 0 {
		fmt.Printf("seeded %d products and %d accounts in %.1f s\n", s.state.Products, s.state.Accounts, time.Since(began).Seconds())
	}
	if err := s.seedOrders(ctx, w, n); err != nil {
		return err
	}
	return w.Acknowledge(ctx, s.declared)
}

// seedOrders seeds orders until there are n, and measures how fast, and what they take on the
// disk: the folder has nothing else that grows.
func (s *scale) seedOrders(ctx context.Context, w *seed.Seeder, n int) error {
	held, err := sizeOf(s.data)
	if err != nil {
		return err
	}
	orders, before, began, cpu := s.state.Orders, w.Appended(), time.Now(), ownCPU()
	show := newProgress(os.Stderr, "seeding", n)
	if err := w.Orders(ctx, n, show.at); err != nil {
		return err
	}
	show.end()
	events, took := w.Appended()-before, time.Since(began)
	s.out.add(n, "seeding, unsynced", fmt.Sprintf("%.0f events/s, %d µs CPU with the server", float64(events)/took.Seconds(), each(ownCPU()-cpu, int(events))))
	now, err := sizeOf(s.data)
	if err != nil {
		return err
	}
	s.out.add(n, "streams of a seeded order", fmt.Sprintf("%d B in %.1f events", (now-held)/int64(n-orders), float64(events)/float64(n-orders)))
	return nil
}

// syncAll syncs every file and folder below a folder.
func syncAll(dir string) error {
	return filepath.WalkDir(dir, func(path string, _ os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		f, err := os.Open(path)
		if err != nil {
			return err
		}
		return errors.Join(f.Sync(), f.Close())
	})
}

// sizeOf returns how many bytes the files below a folder hold; none if there is no folder.
func sizeOf(dir string) (size int64, err error) {
	err = filepath.WalkDir(dir, func(_ string, d os.DirEntry, err error) error {
		if errors.Is(err, os.ErrNotExist) {
			return nil
		}
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		info, err := d.Info()
		if err == nil {
			size += info.Size()
		}
		return err
	})
	return size, err
}

// viewsSize returns how many bytes the views of all services hold.
func (s *scale) viewsSize() (size int64, err error) {
	all, err := sizeOf(s.data)
	if err != nil {
		return 0, err
	}
	log, err := sizeOf(filepath.Join(s.data, "nats"))
	return all - log, err
}

func megabytes(n int64) string { return fmt.Sprintf("%d MB", n>>20) }

func inWords(n int) string {
	switch {
	case n >= 1_000_000 && n%1_000_000 == 0:
		return fmt.Sprintf("%d M", n/1_000_000)
	case n >= 1000 && n%1000 == 0:
		return fmt.Sprintf("%d k", n/1000)
	}
	return strings.TrimSpace(fmt.Sprint(n))
}
