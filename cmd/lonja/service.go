package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"lonja"
	"lonja/kit/natsembed"
	"lonja/kit/service"
	"lonja/kit/streams"
	"lonja/services/identity"
	"lonja/services/inventory"
	"lonja/services/payments"
	"lonja/shop"
	"lonja/shop/codec"
)

// language is what the services speak.
var language = codec.Events

// metrics are the process's.
var metrics = prometheus.NewRegistry()

// shopRules are the flags of single services.
type shopRules struct {
	ReservationTTL  time.Duration `help:"How long goods are set aside for an order that is not paid." default:"20m"`
	PaymentDeadline time.Duration `help:"How long a customer may take to pay." default:"15m"`
	AdminEmail      string        `help:"Address of the first administrator, who is made once." default:"admin@lonja.local"`
	AdminPassword   string        `help:"Password of the first administrator; without it a random one is made, and printed once." xor:"admin"`
	// A file is not seen by whoever may look at a process's environment.
	AdminPasswordFile string `help:"File that holds the password of the first administrator." type:"path" xor:"admin"`

	sandbox bool // up and service have it on, and off, unless they are told
}

// adminPassword is the configured password, "" when there is none.
func (r shopRules) adminPassword() (string, error) {
	if r.AdminPasswordFile == "" {
		return r.AdminPassword, nil
	}
	password, err := secretIn(r.AdminPasswordFile)
	if err != nil {
		return "", fmt.Errorf("--admin-password-file: %w", err)
	}
	return password, nil
}

// secretIn is what a file holds, without the end of its line.
func secretIn(file string) (string, error) {
	data, err := os.ReadFile(file)
	return strings.TrimRight(string(data), "\r\n"), err
}

// config is what the flags say of the services.
func (r shopRules) config() shop.Config {
	return shop.Config{
		Identity:  identity.Config{AdminEmail: r.AdminEmail, AdminPassword: r.AdminPassword, Announce: announce, Ignored: ignored},
		Inventory: inventory.Config{ReservationTTL: r.ReservationTTL},
		Payments:  payments.Config{Deadline: r.PaymentDeadline, Sandbox: r.sandbox},
	}
}

// services makes every service of the shop by name.
func (r shopRules) services() map[string]func() *service.Service { return shop.Services(r.config()) }

// announce tells the first administrator's random password, the only time
// that it can be told.
func announce(email, password string) {
	fmt.Printf("admin     %s, password %s (shown only now)\n", email, password)
}

// ignored says that the administrator has another password than the flag wants.
func ignored(email string) {
	fmt.Printf("admin     %s keeps another password: --admin-password counts at the first start only; lonja admin password sets a new one\n", email)
}

var serviceNames = shop.Names()

type serviceCommand struct {
	connection
	shopRules
	Names   []string `arg:"" help:"The services to run: ${services}."`
	Data    string   `help:"Folder for the views." default:"data" type:"path"`
	Replica string   `help:"Name of this replica; each replica of a service needs its own." default:"a"`
	Sandbox bool     `help:"Let the sandbox provider settle payments, in the service payments: whoever may send its command pays for nothing."`
	HTTP    string   `name:"http" help:"Where to serve /healthz, /readyz and /metrics of this process; without it, nowhere."`

	probed probed
	store  func() context.Context // see service.Config
}

// Run serves until ctx ends.
func (c *serviceCommand) Run(ctx context.Context) (err error) {
	if err := c.usable(); err != nil {
		return err
	}
	if c.AdminPassword, err = c.adminPassword(); err != nil {
		return err
	}
	c.sandbox = c.Sandbox
	if err := errors.Join(enoughFiles(filesOfPart), c.checkFolders()); err != nil {
		return err
	}
	stopProbes, err := c.probed.serve(c.HTTP, c.Names)
	if err != nil {
		return err
	}
	defer stopProbes()
	ready, stop := c.start()
	defer stop()
	select {
	case <-ready:
		fmt.Println("ready     serving", strings.Join(c.Names, ", "), "as replica", c.Replica)
	case <-ctx.Done():
	}
	<-ctx.Done()
	return nil
}

// usable checks what the services would otherwise find out one after the other,
// and try again for ever: the folder, and their keys.
func (c *serviceCommand) usable() error {
	if err := writableFolder("--data", c.Data); err != nil {
		return err
	}
	for _, name := range c.Names {
		if _, err := c.options(name, name); err != nil {
			return err
		}
	}
	return nil
}

// start starts the services; see service.Supervise.
func (c *serviceCommand) start() (ready <-chan struct{}, stop func()) {
	services := map[string]service.Start{}
	for _, name := range c.Names {
		services[name] = func(ctx context.Context, ready func()) error { return c.serveOne(ctx, name, ready) }
	}
	return service.Supervise(slog.Default(), services)
}

// checkFolders makes sure that there are folders for the views, or can be: without
// them a service would be started again for ever.
func (c *serviceCommand) checkFolders() error {
	for _, name := range c.Names {
		if err := natsembed.CheckDir(filepath.Join(c.Data, name, c.Replica)); err != nil {
			return err
		}
	}
	return nil
}

func (c *serviceCommand) serveOne(ctx context.Context, name string, ready func()) error {
	config, err := streamsConfig()
	if err != nil {
		return err
	}
	release, err := natsembed.LockDir(filepath.Join(c.Data, name, c.Replica))
	if errors.Is(err, natsembed.ErrInUse) {
		return fmt.Errorf("%w, or give this replica another --replica name", err)
	}
	if err != nil {
		return err
	}
	defer release()
	nc, err := c.dial(ctx, name, name+"-"+c.Replica)
	if err != nil {
		return err
	}
	defer nc.Close()
	s := c.services()[name]()
	c.probed.add(s)
	err = s.Run(ctx, service.Config{
		Application: lonja.Name, Conn: nc, Codec: language, Streams: config, Dir: c.Data, Replica: c.Replica,
		Logger: slog.Default(), Metrics: metrics, Store: c.store,
	}, ready)
	if errors.Is(err, streams.ErrMissing) {
		err = fmt.Errorf("%w with lonja streams apply", err)
	}
	return err
}
