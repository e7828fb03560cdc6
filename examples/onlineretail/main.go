// Command onlineretail imports an export of the UCI "Online Retail" data set
// (https://doi.org/10.24432/C5BW33) into a running shop. It uses only the shop's
// public client, and shows how to use it:
//
//   - Every call that changes something has an idempotency key that is derived from
//     the file's ids. So a second run of the same file changes nothing.
//   - Each account has its own client, which renews its tokens and keeps its
//     consistency token. When one account depends on what another did, its client
//     observes the other's consistency token.
//   - A rejected request is reported, and the import continues. If the shop is not
//     available, the client retries for two minutes.
//   - Money is an integer number of pence throughout.
//
// The file is real and dirty. Each line becomes part of an order or of a
// cancellation, or is reported with its number and the reason.
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
	flag.StringVar(&o.url, "url", "http://127.0.0.1:8080", "URL of the shop")
	flag.StringVar(&o.adminEmail, "admin-email", os.Getenv("LONJA_ADMIN_EMAIL"), "the administrator's email address, or LONJA_ADMIN_EMAIL")
	flag.StringVar(&o.adminPassword, "admin-password", "", "the administrator's password, or LONJA_ADMIN_PASSWORD")
	flag.IntVar(&o.parallel, "parallel", 16, "maximum number of concurrent requests")
	flag.StringVar(&o.report, "report", "", "write the lines that could not be used to this CSV file")
	flag.BoolVar(&o.verbose, "verbose", false, "print the lines that could not be used")
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

// retries last about two minutes.
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
	t := &importer{
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

func (t *importer) report(o options) error {
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

// compare reads the shop's totals and returns an error when they differ from the
// file's.
func (t *importer) compare(ctx context.Context, began time.Time) error {
	wanted := t.plan.expected()
	found, others, err := t.readBack(ctx, wanted, 15*time.Second)
	if err != nil {
		return err
	}
	fmt.Println()
	comparison(os.Stdout, wanted, found)
	fmt.Printf("\n%d products, %d customers, %.1f s\n", len(t.plan.products), len(t.plan.customers), time.Since(began).Seconds())
	fmt.Printf("With one price for each SKU the orders total %s; at the file's own prices they would total %s.\n",
		pounds(wanted.Paid.Pence+wanted.Cancelled.Pence), pounds(t.plan.atFilePrices()))
	if others > 0 {
		fmt.Printf("The shop has %d other orders.\n", others)
	}
	if n := t.changed.Load(); n > 0 {
		fmt.Printf("This run made %d changes in the shop.\n", n)
	} else {
		fmt.Println("This run changed nothing: the shop already had everything in the file.")
	}
	if t.used+len(t.rejected) != t.plan.read {
		return fmt.Errorf("%d lines read, but %d used and %d reported", t.plan.read, t.used, len(t.rejected))
	}
	if found != wanted {
		return errors.New("the shop's totals differ from the file's")
	}
	fmt.Println("The shop's totals match the file's.")
	return nil
}
