// Command onlineretail trades an export of the UCI "Online Retail" data set
// (https://doi.org/10.24432/C5BW33) through a running shop, over its HTTP API
// alone. It is a model of a client:
//
//   - Every POST that records something carries an Idempotency-Key made from
//     the file's own ids. So any request may be sent again after an error, and
//     a second run of the whole file changes nothing and says so.
//   - Each account keeps the Consistency-Token of its last answer and sends it
//     back, so that it reads what it wrote whichever replica answers.
//   - 503 and network errors are tried again with growing pauses; refusals are
//     not. 202 means that the shop will do it: the outcome is waited for.
//   - Access tokens are exchanged before they end.
//   - Money is an integer of pence from the first line to the last.
//
// The file is real and dirty. Each of its lines either becomes part of an
// order or of a cancellation, or is reported with its number and the reason.
package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"
)

type options struct {
	url, adminEmail, adminPassword string
	file, report                   string
	parallel                       int
	verbose                        bool
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	var o options
	flag.StringVar(&o.url, "url", "http://127.0.0.1:8080", "the shop")
	flag.StringVar(&o.adminEmail, "admin-email", os.Getenv("LONJA_ADMIN_EMAIL"), "the administrator's address, or LONJA_ADMIN_EMAIL")
	flag.StringVar(&o.adminPassword, "admin-password", "", "the administrator's password, or LONJA_ADMIN_PASSWORD")
	flag.IntVar(&o.parallel, "parallel", 16, "requests under way at a time")
	flag.StringVar(&o.report, "report", "", "write every line that could not be used to this file, as CSV")
	flag.BoolVar(&o.verbose, "verbose", false, "print every line that could not be used")
	flag.Usage = func() {
		fmt.Fprintln(flag.CommandLine.Output(), "usage: onlineretail [flags] FILE.csv")
		flag.PrintDefaults()
	}
	flag.Parse()
	if o.adminPassword == "" {
		o.adminPassword = os.Getenv("LONJA_ADMIN_PASSWORD")
	}
	if o.file = flag.Arg(0); flag.NArg() != 1 || o.adminEmail == "" || o.adminPassword == "" || o.parallel < 1 {
		flag.Usage()
		os.Exit(2)
	}
	if err := run(ctx, o); err != nil {
		fmt.Fprintln(os.Stderr, "onlineretail:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, o options) error {
	data, err := os.ReadFile(o.file)
	if err != nil {
		return err
	}
	lines, bad, err := readFile(bytes.NewReader(data))
	if err != nil {
		return fmt.Errorf("%s: %w", o.file, err)
	}
	began, digest := time.Now(), sha256.Sum256(data)
	api := newAPI(o.url, o.parallel)
	t := &trade{
		api:      api,
		admin:    &session{api: api, email: o.adminEmail, password: o.adminPassword},
		plan:     makePlan(lines, bad),
		file:     hex.EncodeToString(digest[:6]),
		parallel: o.parallel,
		progress: newProgress(os.Stderr),
	}
	if err := t.run(ctx); err != nil {
		return err
	}
	if err := t.report(o); err != nil {
		return err
	}
	return t.compare(ctx, began)
}

func (t *trade) report(o options) error {
	t.summary(os.Stdout)
	if o.verbose {
		if err := writeRejected(os.Stdout, t.rejected); err != nil {
			return err
		}
	}
	if o.report == "" {
		return nil
	}
	f, err := os.Create(o.report)
	if err != nil {
		return err
	}
	return errors.Join(writeRejected(f, t.rejected), f.Close())
}

// compare reads the totals back and fails when they are not the file's.
func (t *trade) compare(ctx context.Context, began time.Time) error {
	wanted := t.plan.expected()
	found, others, err := t.readBack(ctx, wanted, 15*time.Second)
	if err != nil {
		return err
	}
	fmt.Println()
	comparison(os.Stdout, wanted, found)
	fmt.Printf("\n%d products, %d customers, %.1f s\n", len(t.plan.products), len(t.plan.customers), time.Since(began).Seconds())
	fmt.Printf("With one price a SKU the orders come to %s; at the file's own prices they would to %s.\n",
		pounds(wanted.Paid.Pence+wanted.Cancelled.Pence), pounds(t.plan.atFilePrices()))
	if others > 0 {
		fmt.Printf("The shop has %d other orders.\n", others)
	}
	if n := t.changed.Load(); n > 0 {
		fmt.Printf("This run changed %d things in the shop.\n", n)
	} else {
		fmt.Println("This run changed nothing: the shop had all of the file already.")
	}
	if t.used+len(t.rejected) != t.plan.read {
		return fmt.Errorf("%d lines read, but %d used and %d reported", t.plan.read, t.used, len(t.rejected))
	}
	if found != wanted {
		return errors.New("the shop's totals are not the file's")
	}
	fmt.Println("The shop's totals are the file's.")
	return nil
}
