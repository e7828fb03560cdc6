package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"path/filepath"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go/jetstream"

	"lonja"
	"lonja/gateway"
	"lonja/kit/natsauth"
	"lonja/kit/natsembed"
	"lonja/shop"
)

// syncMode is "always", or how long an acknowledged event may stay unsynced.
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
	shopRules
	fronting
	profiling
	Data      string   `help:"Folder for the log and the views." default:"data" type:"path"`
	HTTP      string   `name:"http" help:"Where the gateway listens; port 0 picks a free one." default:"127.0.0.1:8080"`
	NATS      string   `name:"nats" help:"Where the NATS server listens; port 0 picks a free one. Other machines may only reach it with --nats-auth." default:"127.0.0.1:4222"`
	NATSAuth  bool     `name:"nats-auth" help:"Let only those connect to the NATS server who have a key of the folder DATA/keys, which is made. Without it, whoever is on this machine may read and write everything."`
	PublicURL string   `name:"public-url" help:"Where customers reach the shop, such as https://shop.example; without it, this machine alone."`
	Sandbox   bool     `help:"Let the sandbox provider take payments: whoever has a payment's link pays for nothing. There is no other provider yet." default:"true" negatable:""`
	Sync      syncMode `help:"When facts are synced to disk: always (before they are acknowledged) or every so often, such as 1s." default:"always"`
}

// Run is nothing but the other commands wired together: a server, streams
// apply, every service, the gateway. It stops them the other way round, so that
// what was begun is finished.
func (c *upCommand) Run(ctx context.Context) error {
	err := c.serve(ctx)
	if ctx.Err() != nil && errors.Is(err, context.Canceled) {
		return nil // told to stop before it was ready
	}
	return err
}

func (c *upCommand) serve(ctx context.Context) (err error) {
	if c.AdminPassword, err = c.adminPassword(); err != nil {
		return err
	}
	if err := enoughFiles(filesOfUp); err != nil {
		return err
	}
	release, err := natsembed.LockDir(filepath.Join(c.Data, "nats"))
	if err != nil {
		return fmt.Errorf("--data: %w", err)
	}
	defer release()
	listener, err := listen("--http", c.HTTP)
	if err != nil {
		return err
	}
	defer listener.Close()
	if err := c.profiling.start(); err != nil {
		return err
	}
	b, at, err := c.openLog(ctx)
	if err != nil {
		return err
	}
	defer b.Stop()
	fmt.Println("data     ", c.Data)
	fmt.Println("nats     ", b.URL())
	if c.NATSAuth {
		fmt.Println("keys     ", at.Keys, "(for other commands: LONJA_NATS_KEYS, or --nats-keys)")
	}

	c.sandbox = c.Sandbox
	services := &serviceCommand{connection: at, shopRules: c.shopRules, Names: serviceNames, Data: c.Data, Replica: "a", store: b.Healthy}
	if err := services.checkFolders(); err != nil {
		return err
	}
	started, stop := services.start()
	defer stop()

	// It does not drain: there is no other gateway to turn to.
	config := c.face(listener.Addr().(*net.TCPAddr))
	config.Store = b.Healthy
	return (&gatewayCommand{connection: at}).serve(ctx, listener, config, started)
}

// openLog starts the NATS server inside, with the shop's streams as they are to be.
// At is how the parts, and the operator, reach it.
func (c *upCommand) openLog(ctx context.Context) (b *natsembed.Server, at connection, err error) {
	always, every, err := c.Sync.parse()
	if err != nil {
		return nil, at, err
	}
	// The server opens its store before it listens, which may take its time.
	probe, err := listen("--nats", c.NATS)
	if err != nil {
		return nil, at, err
	}
	probe.Close()
	declared, err := streamsConfig()
	if err != nil {
		return nil, at, err
	}
	var users []*server.NkeyUser
	if c.NATSAuth {
		at.Keys = filepath.Join(c.Data, "keys")
		if users, err = natsauth.Users(at.Keys, shop.Identities(shopRules{}.config(), declared)); err != nil {
			return nil, at, fmt.Errorf("--nats-auth: %w", err)
		}
	}
	b, err = natsembed.Start(natsembed.Config{Name: lonja.Name, Dir: filepath.Join(c.Data, "nats"), SharedDir: c.Data, Addr: c.NATS,
		SyncAlways: always, SyncInterval: every, Users: users, Logger: slog.Default()})
	if err != nil {
		return nil, at, err
	}
	at.NATS = b.URL()
	err = at.withJetStream(ctx, "lonja up", func(js jetstream.JetStream) error {
		if err := declared.Apply(ctx, js, 0); err != nil {
			return err
		}
		return declared.Redeliver(ctx, js)
	})
	if err != nil {
		b.Stop()
		return nil, at, err
	}
	measureStore(b)
	return b, at, nil
}

// face is how the shop looks from outside. Unless it is told where customers
// reach it, it is for this machine alone.
func (c *upCommand) face(listening *net.TCPAddr) gateway.Config {
	config := c.fronting.config()
	config.PublicURL, config.Sandbox = c.PublicURL, c.Sandbox
	if c.PublicURL != "" {
		return config
	}
	if listening.IP.IsUnspecified() { // which is nowhere to go
		listening.IP = net.IPv4(127, 0, 0, 1)
	}
	config.PublicURL, config.Local = "http://"+listening.String(), true
	return config
}
