package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"path/filepath"
	"slices"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"lonja"
	"lonja/gateway"
	"lonja/kit/eventlog"
	"lonja/kit/natsauth"
	"lonja/kit/natsembed"
	"lonja/shop"
)

// syncMode is "always", "group", or how long an acknowledged event may stay unsynced.
type syncMode string

// defaultSync is the syncMode of lonja up.
const defaultSync = "group"

// apply sets the mode in a server's configuration.
func (s syncMode) apply(c *natsembed.Config) (err error) {
	switch s {
	case "always":
		c.SyncAlways = true
	case "group":
		c.SyncGroup = true
	default:
		c.SyncInterval, err = time.ParseDuration(string(s))
		if err != nil || c.SyncInterval <= 0 {
			return fmt.Errorf("--sync must be always, group or a duration such as 1s, not %q", string(s))
		}
	}
	return nil
}

type upCommand struct {
	shopRules
	gatewayFlags
	profiling
	partitionsFlag
	Data      string   `help:"Folder for the log and the views." default:"data" type:"path"`
	HTTP      string   `name:"http" help:"Listen address of the gateway; port 0 picks a free port." default:"127.0.0.1:8080"`
	NATS      string   `name:"nats" help:"Listen address of the NATS server; port 0 picks a free port. An address that other machines can reach requires --nats-auth." default:"127.0.0.1:4222"`
	NATSAuth  bool     `name:"nats-auth" help:"Require a key from the folder DATA/keys, which is created, to connect to the NATS server. Without it, every process on this machine can read and write everything."`
	KEKFile   string   `name:"kek-file" help:"File of key-encryption keys, which encrypt the keys of everything that identifies a person. It is made if there is none: back it up apart from the data. Default: DATA/kek." type:"path"`
	PublicURL string   `name:"public-url" help:"URL at which customers reach the shop, such as https://shop.example. Default: the gateway's address on this machine."`
	Payments  []string `name:"payments" help:"Providers that take payments: sandbox, stripe. The first is that of new orders." default:"sandbox" placeholder:"PROVIDER"`
	Sandbox   bool     `help:"The sandbox may be one of --payments: anyone with a payment's link can settle it without money." default:"true" negatable:""`
	Sync      syncMode `help:"When events are synced to disk: always, each one before the NATS server acknowledges it; group, all that wait at the same time together, before anything follows from them; or at an interval such as 1s, which a power cut can lose. With group, what other programs than lonja publish on this NATS server is synced within two seconds." default:"${sync}"`
}

// Run combines the other commands: a NATS server, streams apply, every service and
// the gateway. It stops them in reverse order, so that work under way is finished.
func (c *upCommand) Run(ctx context.Context) error {
	err := c.serve(ctx)
	if ctx.Err() != nil && errors.Is(err, context.Canceled) {
		return nil // stopped before it was ready
	}
	return err
}

func (c *upCommand) serve(ctx context.Context) (err error) {
	limitMemory(ctx)
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
	config, err := c.gatewayConfig(listener.Addr().(*net.TCPAddr))
	if err != nil {
		return err
	}
	if c.PaymentReturnURL == "" {
		c.PaymentReturnURL = config.PublicURL
	}
	if err := c.openProviders(c.paymentNames()); err != nil {
		return err
	}
	if err := c.profiling.start(); err != nil {
		return err
	}
	b, at, err := c.openLog(ctx)
	if err != nil {
		return err
	}
	defer b.Stop()
	if wait := at.synced(); wait != nil {
		nc, err := at.dial(ctx, operator, "lonja up, syncs")
		if err != nil {
			return err
		}
		defer nc.Close()
		if err := eventlog.ServeSync(nc, wait); err != nil {
			return err
		}
	}
	fmt.Println("data     ", c.Data)
	fmt.Println("nats     ", b.URL())
	keks, err := c.openKEKs(ctx, at)
	if err != nil {
		return err
	}
	if c.NATSAuth {
		fmt.Println("keys     ", at.Keys, "(for other commands: LONJA_NATS_KEYS, or --nats-keys)")
	}

	services := &serviceCommand{connection: at, shopRules: c.shopRules, Names: serviceNames, Data: c.Data, Replica: "a", store: b.Healthy, keks: keks}
	if err := services.checkFolders(); err != nil {
		return err
	}
	started, stop := services.start()
	defer stop()

	// It does not drain, because there is no other gateway to take over.
	config.Store = b.Healthy
	return (&gatewayCommand{connection: at}).serve(ctx, listener, config, started)
}

// openLog starts the embedded NATS server and applies the streams. At is the
// connection for the services, the gateway and the operator.
func (c *upCommand) openLog(ctx context.Context) (b *natsembed.Server, at connection, err error) {
	config := natsembed.Config{Name: lonja.Name, Dir: filepath.Join(c.Data, "nats"), SharedDir: c.Data, Addr: c.NATS, OnSync: observeSync, Logger: slog.Default()}
	if err := c.Sync.apply(&config); err != nil {
		return nil, at, err
	}
	// The server opens its store before it listens, which can take long. So check
	// the address first.
	probe, err := listen("--nats", c.NATS)
	if err != nil {
		return nil, at, err
	}
	probe.Close()
	declared, err := streamsConfig()
	if err != nil {
		return nil, at, err
	}
	permitted, err := declared.WithWanted(c.Partitions)
	if err != nil {
		return nil, at, fmt.Errorf("--partitions: %w", err)
	}
	if c.NATSAuth {
		at.Keys = filepath.Join(c.Data, "keys")
		if config.Users, err = natsauth.Users(at.Keys, shop.Identities(shopRules{}.config(), permitted)); err != nil {
			return nil, at, fmt.Errorf("--nats-auth: %w", err)
		}
	}
	b, err = natsembed.Start(config)
	if err != nil {
		return nil, at, err
	}
	at.NATS, at.embedded = b.URL(), b
	err = at.withJetStream(ctx, "lonja up", func(js jetstream.JetStream) error {
		if declared, err = declared.Grow(ctx, js, c.Partitions); err != nil {
			return fmt.Errorf("--partitions: %w", err)
		}
		// The keys' rights were made before the server could tell.
		if c.NATSAuth && len(declared.Streams) != len(permitted.Streams) {
			return errors.New("with --nats-auth, --partitions must name at every start how many partitions the streams have; lonja streams plan shows them")
		}
		if err := declared.Apply(ctx, js, 0); err != nil {
			return err
		}
		return declared.Redeliver(ctx, js)
	})
	if err != nil {
		b.Stop()
		return nil, at, err
	}
	registerStoreMetrics(b)
	return b, at, nil
}

// paymentNames returns the names of the providers that take payments.
func (c *upCommand) paymentNames() []string {
	if !c.Sandbox {
		return withSandbox(c.Payments, false)
	}
	return c.Payments
}

// gatewayConfig returns the configuration of the gateway. Without --public-url the
// shop is for this machine only.
func (c *upCommand) gatewayConfig(listening *net.TCPAddr) (gateway.Config, error) {
	config, err := c.gatewayFlags.config()
	if err != nil {
		return config, err
	}
	config.PublicURL, config.Sandbox = c.PublicURL, slices.Contains(c.paymentNames(), "sandbox")
	if c.PublicURL != "" {
		return config, nil
	}
	if listening.IP.IsUnspecified() { // not an address that a browser can open
		listening.IP = net.IPv4(127, 0, 0, 1)
	}
	config.PublicURL, config.Local = "http://"+listening.String(), true
	return config, nil
}
