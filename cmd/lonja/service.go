package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"lonja"
	"lonja/kit/keyring"
	"lonja/kit/natsembed"
	"lonja/kit/service"
	"lonja/kit/streams"
	"lonja/services/identity"
	"lonja/services/inventory"
	"lonja/services/orders"
	"lonja/services/payments"
	"lonja/shop"
	"lonja/shop/codec"
)

// eventCodec encodes and decodes the events of all services.
var eventCodec = codec.Events

// metrics holds the metrics of this process.
var metrics = prometheus.NewRegistry()

// shopRules are the flags that configure single services.
type shopRules struct {
	ReservationTTL  time.Duration `help:"How long stock is reserved for an unpaid order." default:"20m"`
	PaymentDeadline time.Duration `help:"How long a customer has to pay." default:"15m"`
	OrderWait       time.Duration `help:"How long new orders may wait on average until they say where to pay. When it gets longer, further orders are held for a second, and then rejected with 503; 0 means that all are accepted." default:"1s"`
	AdminEmail      string        `help:"Email address of the first administrator. Used only when the account is created." default:"admin@lonja.local"`
	AdminPassword   string        `help:"Password of the first administrator. Default: a random one, which is printed once." xor:"admin"`
	// Unlike an environment variable, a file is not visible to every observer of the process.
	AdminPasswordFile string        `help:"File that holds the password of the first administrator." type:"path" xor:"admin"`
	SigningKeyAge     time.Duration `help:"How long a key signs access tokens before identity replaces it; 0 means until lonja keys rotate signing does. A key of an earlier version is replaced only by that command or lonja keys seal." default:"2160h"`

	PaymentReturnURL string `name:"payment-return-url" help:"URL to which a provider's page sends customers back; {order} stands for the order's id. Default with up: the shop's own address." placeholder:"URL"`
	StripeKeyFile    string `help:"File that holds the secret key of the account at Stripe, which the provider stripe needs." type:"path"`
	StripeAPI        string `name:"stripe-api" help:"Address of Stripe's API, for a stand-in such as stripe-mock. Default: Stripe's own." placeholder:"URL"`

	providers []payments.Provider // of the flag --payments of up or service, which have different defaults
}

// openProviders opens the providers with these names.
func (r *shopRules) openProviders(names []string) error {
	key, err := "", error(nil)
	if r.StripeKeyFile != "" {
		if key, err = readSecret(r.StripeKeyFile); err != nil {
			return fmt.Errorf("--stripe-key-file: %w", err)
		}
	}
	r.providers, err = payments.OpenProviders(names, payments.Settings{ReturnURL: r.PaymentReturnURL, StripeKey: key, StripeAPI: r.StripeAPI})
	if err != nil {
		return fmt.Errorf("--payments: %w", err)
	}
	return nil
}

// withSandbox returns the names of providers with the sandbox among them, or without it.
func withSandbox(names []string, is bool) []string {
	const sandbox = "sandbox"
	switch there := slices.Contains(names, sandbox); {
	case is && !there:
		return append(slices.Clone(names), sandbox)
	case !is && there:
		return slices.DeleteFunc(slices.Clone(names), func(name string) bool { return name == sandbox })
	}
	return names
}

// adminPassword returns the configured password, "" when there is none.
func (r shopRules) adminPassword() (string, error) {
	if r.AdminPasswordFile == "" {
		return r.AdminPassword, nil
	}
	password, err := readSecret(r.AdminPasswordFile)
	if err != nil {
		return "", fmt.Errorf("--admin-password-file: %w", err)
	}
	return password, nil
}

// readSecret returns a file's content without the line end.
func readSecret(file string) (string, error) {
	data, err := os.ReadFile(file)
	return strings.TrimRight(string(data), "\r\n"), err
}

// config returns the configuration that the flags describe.
func (r shopRules) config() shop.Config {
	wait := r.OrderWait
	if wait == 0 {
		wait = -1 // no limit
	}
	return shop.Config{
		Identity:  identity.Config{AdminEmail: r.AdminEmail, AdminPassword: r.AdminPassword, Announce: announce, Ignored: reportIgnored, SigningKeyAge: r.SigningKeyAge},
		Inventory: inventory.Config{ReservationTTL: r.ReservationTTL},
		Orders:    orders.Config{MaxWait: wait},
		Payments:  payments.Config{Deadline: r.PaymentDeadline, Providers: r.providers},
	}
}

// services returns a constructor for every service, by name.
func (r shopRules) services() map[string]func() *service.Service { return shop.Services(r.config()) }

// announce prints the first administrator's random password. It is stored only as a
// hash, so it cannot be printed again.
func announce(email, password string) {
	fmt.Printf("admin     %s, password %s (shown only now)\n", email, password)
}

// reportIgnored prints that the administrator's password differs from the flag's.
func reportIgnored(email string) {
	fmt.Printf("admin     %s keeps another password: --admin-password has an effect at the first start only; use lonja admin password to set a new one\n", email)
}

var serviceNames = shop.Names()

type serviceCommand struct {
	connection
	shopRules
	Names    []string `arg:"" help:"The services to run: ${services}."`
	Data     string   `help:"Folder for the views." default:"data" type:"path"`
	Replica  string   `help:"Name of this replica, unique among the replicas of a service." default:"a"`
	KEKFile  string   `name:"kek-file" help:"File of key-encryption keys, which encrypt the keys of everything that identifies a person. Every replica of identity needs the same; other services need none. It is read again when it changes." type:"path"`
	Payments []string `name:"payments" help:"Providers that take payments in the service payments: sandbox, stripe. The first is that of new orders. Default: none." placeholder:"PROVIDER"`
	Sandbox  bool     `help:"The sandbox is one of --payments, the last if that does not name it: anyone who may send its command can settle payments without money."`
	HTTP     string   `name:"http" help:"Address for /healthz, /readyz and /metrics of this process. Default: none."`

	probes probes
	store  func() context.Context // see service.Config
	keks   *keyring.KEKs          // of KEKFile, nil if no service needs them
}

// Run serves until ctx ends.
func (c *serviceCommand) Run(ctx context.Context) (err error) {
	limitMemory(ctx)
	if err := c.checkAccess(); err != nil {
		return err
	}
	if c.AdminPassword, err = c.adminPassword(); err != nil {
		return err
	}
	if err := c.openProviders(withSandbox(c.Payments, c.Sandbox || slices.Contains(c.Payments, "sandbox"))); err != nil {
		return err
	}
	if err := errors.Join(enoughFiles(filesOfPart), c.checkFolders()); err != nil {
		return err
	}
	stopProbes, err := c.probes.serve(c.HTTP, c.Names)
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

// checkAccess checks the data folder and all keys once. The services would otherwise
// retry for ever.
func (c *serviceCommand) checkAccess() error {
	if err := writableFolder("--data", c.Data); err != nil {
		return err
	}
	for _, name := range c.Names {
		if _, err := c.options(name, name); err != nil {
			return err
		}
	}
	return c.loadKEKs()
}

// start starts the services; see service.Supervise.
func (c *serviceCommand) start() (ready <-chan struct{}, stop func()) {
	services := map[string]service.Start{}
	for _, name := range c.Names {
		services[name] = func(ctx context.Context, ready func()) error { return c.serveOne(ctx, name, ready) }
	}
	return service.Supervise(slog.Default(), services)
}

// checkFolders checks that the folders of the views exist or can be created. A
// service would otherwise be restarted for ever.
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
		return fmt.Errorf("%w, or give this replica another name with --replica", err)
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
	c.probes.add(s)
	err = s.Run(ctx, service.Config{
		Application: lonja.Name, Conn: nc, Codec: eventCodec, Streams: config, Dir: c.Data, Replica: c.Replica,
		Logger: slog.Default(), Metrics: metrics, Store: c.store, Synced: c.synced(), KEKs: c.keks,
	}, ready)
	if errors.Is(err, streams.ErrMissing) {
		err = fmt.Errorf("%w with lonja streams apply", err)
	}
	return err
}
