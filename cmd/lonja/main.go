// Command lonja is the shop: all of it in one process (up), or each part as a
// process of its own (streams, service, gateway).
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
	Streams streamsCommand `cmd:"" help:"Look after the streams on a NATS server."`
	Service serviceCommand `cmd:"" help:"Run some of the services against a NATS server."`
	Gateway gatewayCommand `cmd:"" help:"Run the HTTP gateway against a NATS server."`
	Admin   adminCommand   `cmd:"" help:"Look after accounts, for whoever cannot log in any more."`
	Rebuild rebuildCommand `cmd:"" help:"Make the rows of a service's views anew out of the whole log, while it runs."`

	Deadletters deadlettersCommand `cmd:"" help:"Look after the messages that could not be handled."`
	Audit       auditCommand       `cmd:"" help:"Check that log and views keep every promise."`
	Timeline    timelineCommand    `cmd:"" help:"Tell the story of an order, a payment, a product or a user."`

	AsyncAPI asyncAPICommand `cmd:"" name:"asyncapi" help:"Print what the services send and receive on NATS, as an AsyncAPI document in JSON."`

	NATSConfig  natsConfigCommand  `cmd:"" name:"nats-config" help:"Write the configuration of NATS servers on which each part may do its own work only."`
	Healthcheck healthcheckCommand `cmd:"" help:"Ask a part of the shop over HTTP whether it is well; for containers."`

	Help    helpCommand    `cmd:"" name:"help" help:"Explain a command."`
	Version versionCommand `cmd:"" help:"Tell which lonja this is."`

	ShowVersion kong.VersionFlag `name:"version" help:"Tell which lonja this is." env:"-"`

	LogLevel slog.Level `help:"What is logged to standard error: debug, info, warn or error." default:"info"`
}

// launched is when the process began.
var launched = time.Now()

// interrupted is the exit code of a command that was told to stop before it was
// done, as shells have it. Those that serve until they are told to end with 0.
const interrupted = 130

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // whoever asks a second time does not wait
	err := run(ctx, os.Args[1:])
	var code exitCode
	switch {
	case err == nil:
	case errors.As(err, &code):
		os.Exit(int(code))
	case ctx.Err() != nil && errors.Is(err, context.Canceled):
		fmt.Fprintln(os.Stderr, "lonja: interrupted")
		os.Exit(interrupted)
	case ctx.Err() != nil:
		fmt.Fprintln(os.Stderr, "lonja:", err)
		os.Exit(interrupted)
	default:
		fmt.Fprintln(os.Stderr, "lonja:", err)
		os.Exit(1)
	}
}

// exitCode ends the program with a code of its own, all being said.
type exitCode int

// Error implements error.
func (c exitCode) Error() string { return fmt.Sprintf("exit code %d", int(c)) }

func run(ctx context.Context, args []string) error {
	var c commands
	parser, err := kong.New(&c, kong.Name("lonja"),
		kong.Description("A shop backend: catalogue, stock, orders, payments and accounts, event-driven on NATS JetStream.\n\nEvery flag can also be given in the environment: --data is LONJA_DATA."),
		kong.DefaultEnvars("LONJA"),
		kong.Vars{"services": strings.Join(serviceNames, ", "), "version": version()},
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
