package main

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"golang.org/x/sync/errgroup"

	"lonja"
	"lonja/events"
	"lonja/internal/eventlog"
	"lonja/internal/service"
	"lonja/internal/streams"
	"lonja/services/catalog"
)

// shop is what the services speak.
var shop = eventlog.Language{Type: events.Type, Subject: events.Subject, Encode: events.Encode, Decode: events.Decode}

// services makes each service by name.
var services = map[string]func() *service.Service{
	"catalog": catalog.New,
}

func serviceNames() []string { return slices.Sorted(maps.Keys(services)) }

// connection is how a process reaches NATS.
type connection struct {
	NATS string `name:"nats" help:"URL of the NATS server." default:"nats://127.0.0.1:4222"`
}

func connect(url, name string) (*nats.Conn, error) {
	nc, err := nats.Connect(url, nats.Name(name), nats.MaxReconnects(-1), nats.ReconnectWait(100*time.Millisecond))
	if err != nil {
		return nil, fmt.Errorf("NATS at %s: %w", url, err)
	}
	return nc, nil
}

func streamsConfig() (*streams.Config, error) { return streams.Parse(lonja.StreamsYAML) }

type serviceCommand struct {
	connection
	Names   []string `arg:"" help:"The services to run."`
	Data    string   `help:"Folder for the views." default:"data" type:"path"`
	Replica string   `help:"Name of this replica; each of a service needs its own." default:"a"`
}

// Run serves until ctx ends.
func (c *serviceCommand) Run(ctx context.Context) error {
	return c.serve(ctx, func() { fmt.Println("ready") })
}

func (c *serviceCommand) serve(ctx context.Context, ready func()) error {
	config, err := streamsConfig()
	if err != nil {
		return err
	}
	var starting sync.WaitGroup
	group, ctx := errgroup.WithContext(ctx)
	for _, name := range c.Names {
		make, ok := services[name]
		if !ok {
			return fmt.Errorf("there is no service %q; there are %v", name, serviceNames())
		}
		starting.Add(1)
		group.Go(func() error {
			nc, err := connect(c.NATS, name+"-"+c.Replica)
			if err != nil {
				return err
			}
			defer nc.Close()
			return make().Run(ctx, service.Config{
				Conn: nc, Language: shop, Consumers: config, Dir: c.Data, Replica: c.Replica,
				Logger: slog.New(slog.NewTextHandler(os.Stderr, nil)),
			}, starting.Done)
		})
	}
	group.Go(func() error {
		up := make(chan struct{})
		go func() { starting.Wait(); close(up) }()
		select {
		case <-up:
			ready()
		case <-ctx.Done():
		}
		return nil
	})
	return group.Wait()
}

type streamsCommand struct {
	Apply applyCommand `cmd:"" help:"Make the streams and consumers as streams.yaml says."`
}

type applyCommand struct {
	connection
	Replicas int `help:"Replicas of every stream; 0 takes what streams.yaml says." default:"0"`
}

// Run applies streams.yaml.
func (c *applyCommand) Run(ctx context.Context) error {
	config, err := streamsConfig()
	if err != nil {
		return err
	}
	nc, err := connect(c.NATS, "lonja streams apply")
	if err != nil {
		return err
	}
	defer nc.Close()
	js, err := jetstream.New(nc)
	if err != nil {
		return err
	}
	return config.Apply(ctx, js, c.Replicas)
}
