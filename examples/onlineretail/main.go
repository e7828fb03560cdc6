// Command onlineretail trades an export of the UCI "Online Retail" data set
// (https://doi.org/10.24432/C5BW33) through a running shop, with the shop's
// public client alone. It is a model of a program that uses it:
//
//   - Every call that records something gives a key made from the file's own
//     ids. So a second run of the whole file changes nothing, and says so.
//   - Each account has a client of its own, which keeps its tokens fresh and what
//     it has seen. Where one account builds on what another did, its client
//     observes the other's consistency token.
//   - What the shop refuses is reported and the rest goes on. That it is away is
//     the client's business, which tries again for two minutes.
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
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"

	"lonja/client"
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

// retries go on for about two minutes.
const retries = 30

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
	shop, err := client.New(o.url, client.WithRetries(retries), client.WithHTTPClient(&http.Client{
		Transport: &http.Transport{MaxIdleConnsPerHost: o.parallel, MaxConnsPerHost: o.parallel}}))
	if err != nil {
		return err
	}
	t := &trade{
		shop:     shop,
		admin:    shop.Session(client.WithPassword(o.adminEmail, o.adminPassword)),
		password: o.adminPassword,
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
