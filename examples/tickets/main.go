// Tickets is the box office of a concert hall: a NATS server, two services and an
// HTTP API in one process, on any number of replicas.
package main

import (
	"context"
	_ "embed"
	"flag"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"tickets/doors"
	"tickets/events"
	"tickets/shows"

	"lonja/kit/bus"
	"lonja/kit/httpapi"
	"lonja/kit/natsembed"
	"lonja/kit/service"
	"lonja/kit/streams"
)

//go:embed streams.yaml
var streamsYAML []byte

type options struct{ data, replica, nats, http, join string }

func main() {
	var o options
	flag.StringVar(&o.data, "data", "data", "folder for everything that is kept")
	flag.StringVar(&o.replica, "replica", "a", "name of this replica; each needs its own")
	flag.StringVar(&o.nats, "nats", "127.0.0.1:4222", "where the NATS server listens")
	flag.StringVar(&o.http, "http", "127.0.0.1:8080", "where the HTTP API listens")
	flag.StringVar(&o.join, "join", "", "URL of another replica's NATS server, to use instead of an own one")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, o); err != nil {
		fmt.Fprintln(os.Stderr, "tickets:", err)
		os.Exit(1)
	}
}

// run runs everything until ctx ends, and stops it in the reverse order.
func run(ctx context.Context, o options) error {
	own := filepath.Join(o.data, o.replica)
	release, err := natsembed.LockDir(own) // no second process may have it
	if err != nil {
		return err
	}
	defer release()
	listener, err := net.Listen("tcp", o.http)
	if err != nil {
		return err
	}
	defer listener.Close()
	url := o.join
	if url == "" {
		server, err := natsembed.Start(natsembed.Config{Dir: filepath.Join(own, "nats"), Addr: o.nats, SyncAlways: true, Logger: slog.Default()})
		if err != nil {
			return err
		}
		defer server.Stop()
		url = server.URL()
	}
	conn, err := nats.Connect(url, nats.MaxReconnects(-1))
	if err != nil {
		return err
	}
	defer conn.Close()
	declared, err := apply(ctx, conn)
	if err != nil {
		return err
	}
	config := service.Config{Application: "tickets", Conn: conn, Codec: events.Codec, Streams: declared, Dir: own, Replica: o.replica, Logger: slog.Default()}
	ready, stop := service.Supervise(slog.Default(), map[string]service.Start{
		"shows": func(ctx context.Context, ready func()) error { return shows.New().Run(ctx, config, ready) },
		"doors": func(ctx context.Context, ready func()) error { return doors.New().Run(ctx, config, ready) },
	})
	defer stop()
	select {
	case <-ready:
	case <-ctx.Done():
		return nil
	}
	origin := "http://" + listener.Addr().String()
	handler, err := api(bus.NewClient(conn), origin)
	if err != nil {
		return err
	}
	fmt.Println("ready", url, origin)
	return httpapi.Serve(ctx, listener, handler, 0)
}

// apply makes the streams as streams.yaml says.
func apply(ctx context.Context, conn *nats.Conn) (*streams.Config, error) {
	declared, err := streams.Parse(streamsYAML)
	if err != nil {
		return nil, err
	}
	js, err := jetstream.New(conn)
	if err != nil {
		return nil, err
	}
	return declared, declared.Apply(ctx, js, 0)
}
