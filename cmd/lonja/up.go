package main

import (
	"context"
	"fmt"
	"path/filepath"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"golang.org/x/sync/errgroup"

	"lonja/internal/broker"
)

// syncMode is "always", or how long an acknowledged fact may stay unsynced.
type syncMode string

func (s syncMode) parse() (always bool, every time.Duration, err error) {
	if s == "always" {
		return true, 0, nil
	}
	every, err = time.ParseDuration(string(s))
	if err != nil || every <= 0 {
		return false, 0, fmt.Errorf("--sync must be always or a duration such as 1s, not %q", s)
	}
	return false, every, nil
}

type upCommand struct {
	Data string   `help:"Folder for the log and the views." default:"data" type:"path"`
	HTTP string   `name:"http" help:"Where the gateway listens; port 0 picks a free one." default:"127.0.0.1:8080"`
	NATS string   `name:"nats" help:"Where the NATS server listens; port 0 picks a free one." default:"127.0.0.1:4222"`
	Sync syncMode `help:"When facts are synced to disk: always (before they are acknowledged) or every so often, such as 1s." default:"always"`
}

// Run is nothing but the other commands wired together.
func (c *upCommand) Run(ctx context.Context) error {
	always, every, err := c.Sync.parse()
	if err != nil {
		return err
	}
	b, err := broker.Start(broker.Config{Dir: filepath.Join(c.Data, "nats"), Addr: c.NATS, SyncAlways: always, SyncInterval: every})
	if err != nil {
		return err
	}
	defer b.Stop()
	fmt.Println("nats ", b.URL())

	config, err := streamsConfig()
	if err != nil {
		return err
	}
	nc, err := connect(b.URL(), "lonja up")
	if err != nil {
		return err
	}
	defer nc.Close()
	js, err := jetstream.New(nc)
	if err != nil {
		return err
	}
	if err := config.Apply(ctx, js, 0); err != nil {
		return err
	}
	group, ctx := errgroup.WithContext(ctx)
	services := &serviceCommand{Names: serviceNames(), connection: connection{NATS: b.URL()}, Data: c.Data, Replica: "a"}
	up := make(chan struct{})
	group.Go(func() error { return services.serve(ctx, func() { close(up) }) })
	group.Go(func() error {
		select {
		case <-up:
			fmt.Println("ready")
		case <-ctx.Done():
		}
		return nil
	})
	return group.Wait()
}
