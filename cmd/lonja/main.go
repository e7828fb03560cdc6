// Command lonja runs the shop, either in one process (up) or as separate processes
// (streams apply, service, gateway). It also has the operator's commands, such as
// audit, timeline, deadletters and rebuild.
package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/alecthomas/kong"
)

type commands struct {
	Up      upCommand      `cmd:"" help:"Run the whole shop in one process, with a NATS server inside."`
	Streams streamsCommand `cmd:"" help:"Compare and create the streams on a NATS server."`
	Service serviceCommand `cmd:"" help:"Run one or more services against a NATS server."`
	Gateway gatewayCommand `cmd:"" help:"Run the HTTP gateway against a NATS server."`
	Admin   adminCommand   `cmd:"" help:"Manage accounts without logging in."`
	Keys    keysCommand    `cmd:"" help:"List, replace and seal the keys that sign access tokens, and manage the file of the keys that encrypt them and whatever identifies a person."`
	Rebuild rebuildCommand `cmd:"" help:"Rebuild the views of a running service from the whole log."`

	Deadletters deadLettersCommand `cmd:"" help:"List, show, retry and drop the messages that could not be handled."`
	Audit       auditCommand       `cmd:"" help:"Check the log and the views for violations."`
	Timeline    timelineCommand    `cmd:"" help:"Show all events of an order, a payment, a product or a user, with their causes."`
	RewriteLog  rewriteLogCommand  `cmd:"" name:"rewrite-log" help:"Copy the data of a stopped shop, with everything sealed that earlier versions recorded in plain text."`

	AsyncAPI asyncAPICommand `cmd:"" name:"asyncapi" help:"Print what the services send and receive on NATS, as an AsyncAPI document in JSON."`

	NATSConfig  natsConfigCommand  `cmd:"" name:"nats-config" help:"Write a configuration for NATS servers with keys and least-privilege permissions for each part."`
	Healthcheck healthcheckCommand `cmd:"" help:"Check a part's health over HTTP; for containers."`

	Help    helpCommand    `cmd:"" name:"help" help:"Show the help of a command."`
	Version versionCommand `cmd:"" help:"Show the version."`

	ShowVersion kong.VersionFlag `name:"version" help:"Show the version." env:"-"`

	LogLevel slog.Level `help:"Lowest level that is logged to standard error: debug, info, warn or error." default:"info"`
}

// launched is when the process started.
var launched = time.Now()

// exitInterrupted is the exit code of a command that was interrupted before it was
// done, as in shells. Commands that serve until they are stopped exit with 0.
const exitInterrupted = 130

func main() {
	ctx := untilInterrupted()
	err := run(ctx, os.Args[1:])
	var code exitCode
	switch {
	case err == nil:
	case errors.As(err, &code):
		os.Exit(int(code))
	case ctx.Err() != nil && errors.Is(err, context.Canceled):
		fmt.Fprintln(os.Stderr, "lonja: interrupted")
		os.Exit(exitInterrupted)
	case ctx.Err() != nil:
		fmt.Fprintln(os.Stderr, "lonja:", err)
		os.Exit(exitInterrupted)
	default:
		fmt.Fprintln(os.Stderr, "lonja:", err)
		os.Exit(1)
	}
}

// untilInterrupted returns a context that ends with the first signal to stop. A second one ends the
// process at once, and does so from the moment on at which the context has ended.
func untilInterrupted() context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	go func() {
		<-signals
		signal.Stop(signals)
		cancel()
	}()
	return ctx
}

// exitCode ends the program with that exit code and prints no error.
type exitCode int

// Error implements error.
func (c exitCode) Error() string { return fmt.Sprintf("exit code %d", int(c)) }

func run(ctx context.Context, args []string) error {
	var c commands
	parser, err := kong.New(&c, kong.Name("lonja"),
		kong.Description("A shop backend: catalogue, stock, orders, payments and accounts, event-driven on NATS JetStream.\n\nEvery flag can also be set in the environment: --data is LONJA_DATA."),
		kong.DefaultEnvars("LONJA"),
		kong.Vars{"services": strings.Join(serviceNames, ", "), "version": version(), "sync": defaultSync},
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
	slog.SetDefault(slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: c.LogLevel})))
	return parsed.Run()
}
