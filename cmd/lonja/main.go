// Command lonja is the shop: all of it in one process (up), or each part as a
// process of its own (service, gateway, streams).
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/alecthomas/kong"
)

type commands struct {
	Up      upCommand      `cmd:"" help:"Run the whole shop in one process, with a NATS server inside."`
	Service serviceCommand `cmd:"" help:"Run some of the services against a NATS server."`
	Streams streamsCommand `cmd:"" help:"Look after the streams."`
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "lonja:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	var c commands
	parser, err := kong.New(&c, kong.Name("lonja"), kong.UsageOnError(),
		kong.Description("A shop backend: catalogue, stock, orders, payments and accounts, event-driven on NATS JetStream.\n\nEvery flag can also be given as an environment variable: --data is LONJA_DATA."),
		kong.DefaultEnvars("LONJA"),
		kong.BindTo(ctx, (*context.Context)(nil)))
	if err != nil {
		return err
	}
	parsed, err := parser.Parse(args)
	var wrong *kong.ParseError
	if errors.As(err, &wrong) {
		return fmt.Errorf("%w (see lonja --help)", err)
	}
	if err != nil {
		return err
	}
	return parsed.Run()
}
