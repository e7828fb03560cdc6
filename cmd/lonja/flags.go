package main

import (
	"cmp"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"regexp"
	"slices"
	"strings"
	"time"

	"lonja/events"
	"lonja/kit/httpapi"
	"lonja/kit/httpapi/clientaddr"
	"lonja/kit/natsauth"
	"lonja/kit/streams"
	"lonja/services/identity"
	"lonja/shop"
)

// Kong calls a command's Validate before anything runs. Whatever is wrong with a
// flag is said there, in one line that names it and says what is allowed. Nothing
// is touched: no file is made, no port taken.

// Validate checks what several services share. That the money is wanted before
// the goods are given back is checked where one process does both.
func (r shopRules) Validate() error {
	return events.FirstOf(positive("--reservation-ttl", r.ReservationTTL), positive("--payment-deadline", r.PaymentDeadline), r.checkAdmin())
}

// inStep checks the rules that only make sense together.
func (r shopRules) inStep() error {
	if r.PaymentDeadline >= r.ReservationTTL {
		return fmt.Errorf("--payment-deadline %v must be shorter than --reservation-ttl %v: goods are set aside until they are paid", r.PaymentDeadline, r.ReservationTTL)
	}
	return nil
}

// checkAdmin holds the first administrator to what is asked of every user.
func (r shopRules) checkAdmin() error {
	password, err := r.adminPassword()
	if err != nil {
		return err
	}
	err = identity.Config{AdminEmail: r.AdminEmail, AdminPassword: password}.Check()
	wrong, named := err.(*events.FieldError)
	if !named {
		return err
	}
	flag := "--admin-" + wrong.Path
	if wrong.Path == "password" && r.AdminPasswordFile != "" {
		flag = "--admin-password-file"
	}
	return fmt.Errorf("%s %s", flag, wrong.Detail)
}

// Validate checks where NATS is and how it is reached, but for the keys: which
// of them are needed is the command's to know.
func (c connection) Validate() error {
	if _, err := c.servers(); err != nil {
		return err
	}
	if c.CA == "" {
		return nil
	}
	pem, err := os.ReadFile(c.CA)
	if err == nil && !x509.NewCertPool().AppendCertsFromPEM(pem) {
		err = fmt.Errorf("%s holds no certificate in PEM", c.CA)
	}
	if err != nil {
		return fmt.Errorf("--nats-ca: %w", err)
	}
	return nil
}

// servers are the servers' URLs. The error shows none: there may be a password in it.
func (c connection) servers() ([]*url.URL, error) {
	var all []*url.URL
	for i, s := range strings.Split(c.NATS, ",") {
		s = strings.TrimSpace(s)
		if !strings.Contains(s, "://") {
			s = "nats://" + s
		}
		u, err := url.Parse(s)
		if err == nil {
			_, err = net.LookupPort("tcp", cmp.Or(u.Port(), "4222"))
		}
		if err != nil || u.Hostname() == "" || !slices.Contains([]string{"nats", "tls", "ws", "wss"}, u.Scheme) {
			return nil, fmt.Errorf("--nats must be a URL such as nats://host:4222, or several with commas between; number %d is none", i+1)
		}
		all = append(all, u)
	}
	return all, nil
}

// Validate checks what up takes besides.
func (c *upCommand) Validate() error {
	_, _, err := c.Sync.parse()
	return events.FirstOf(err, c.shopRules.Validate(), c.profiling.Validate(),
		address("--http", c.HTTP), address("--nats", c.NATS), c.guarded(), origin(c.PublicURL), c.fronting.Validate(), c.inStep())
}

// guarded keeps a NATS server on which everybody may do everything from other
// machines.
func (c *upCommand) guarded() error {
	host, _, err := net.SplitHostPort(c.NATS)
	if err != nil || c.NATSAuth || isLoopback(host) {
		return err
	}
	return fmt.Errorf("--nats %s can be reached by other machines, and whoever reaches it may do everything: give --nats-auth, or an address of this machine alone, such as 127.0.0.1:4222", c.NATS)
}

func isLoopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// Validate checks what services take besides.
func (c *serviceCommand) Validate() error {
	if err := events.FirstOf(c.connection.Validate(), c.shopRules.Validate()); err != nil {
		return err
	}
	for i, name := range c.Names {
		if err := knownService(name); err != nil {
			return err
		}
		if slices.Contains(c.Names[:i], name) {
			return fmt.Errorf("service %s is named twice", name)
		}
	}
	if !events.IsToken(c.Replica) {
		return fmt.Errorf("--replica %q must be 1 to 64 letters, digits, '_' or '-'", c.Replica)
	}
	if c.HTTP != "" {
		if err := address("--http", c.HTTP); err != nil {
			return err
		}
	}
	if slices.Contains(c.Names, "inventory") && slices.Contains(c.Names, "payments") {
		return c.inStep()
	}
	return nil
}

// Validate checks what the gateway takes besides.
func (c *gatewayCommand) Validate() error {
	if c.PublicURL == "" {
		return errors.New("--public-url is required: where customers reach the shop, such as https://shop.example")
	}
	return events.FirstOf(c.connection.Validate(), address("--http", c.HTTP), notNegative("--drain", c.Drain), origin(c.PublicURL), c.fronting.Validate())
}

// Validate checks where profiles are served.
func (p profiling) Validate() error {
	if p.Pprof == "" {
		return nil
	}
	return address("--pprof", p.Pprof)
}

// Validate checks that there are views to compare before the whole log is read.
func (c *auditCommand) Validate() error {
	if err := c.connection.Validate(); err != nil || c.Data == "" {
		return err
	}
	if info, err := os.Stat(c.Data); err != nil || !info.IsDir() {
		return fmt.Errorf("--data must be the folder of the views, or \"\" to compare none; there is no folder %s", c.Data)
	}
	return nil
}

// Validate checks whose views are meant.
func (c *rebuildCommand) Validate() error {
	return events.FirstOf(c.connection.Validate(), knownService(c.Service))
}

// Validate checks how many replicas are wanted.
func (c *planCommand) Validate() error {
	return events.FirstOf(c.connection.Validate(), replicas(c.Replicas))
}

// Validate checks replicas, time and the streams' names.
func (c *applyCommand) Validate() error {
	if err := events.FirstOf(c.connection.Validate(), replicas(c.Replicas), notNegative("--wait", c.Wait)); err != nil {
		return err
	}
	config, err := streamsConfig()
	if err != nil {
		return err
	}
	for _, name := range c.AllowLoss {
		if !slices.ContainsFunc(config.Streams, func(s streams.Stream) bool { return s.Name == name }) {
			return fmt.Errorf("--allow-loss: there is no stream %q in streams.yaml", name)
		}
	}
	return nil
}

// Validate checks how much is to be listed.
func (c *lettersListCommand) Validate() error {
	if c.Limit <= 0 {
		return fmt.Errorf("--limit must be 1 or more, not %d", c.Limit)
	}
	return c.connection.Validate()
}

// Validate checks what is to be asked.
func (c *healthcheckCommand) Validate() error {
	if u, err := url.Parse(c.URL); err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		return fmt.Errorf("<url> must be one such as http://127.0.0.1:8080/healthz, not %q", c.URL)
	}
	return nil
}

var (
	hostName = regexp.MustCompile(`^[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?$`)
	size     = regexp.MustCompile(`^[1-9][0-9]*([kKmMgGtT]([iI]?[bB])?)?$`) // as NATS reads it
)

// Validate checks the servers' names, which become files and configuration, and
// the identities'.
func (c *natsConfigCommand) Validate() error {
	for i, name := range c.Servers {
		if !hostName.MatchString(name) || name == "auth" { // auth.conf is theirs all
			return fmt.Errorf("--servers must be hosts' names, and none be auth, not %q", name)
		}
		if slices.Contains(c.Servers[:i], name) {
			return fmt.Errorf("--servers: %s is named twice", name)
		}
	}
	if len(c.Servers) == 0 {
		return errors.New("--servers must name one server or more")
	}
	if c.Store == "" || strings.ContainsAny(c.Store, "\r\n\"'{}[]()#;,$") {
		return fmt.Errorf("--store must be a folder's path without quotes, brackets, commas and $, not %q", c.Store)
	}
	if !size.MatchString(c.MaxStore) {
		return fmt.Errorf("--max-store must be a size such as 500MB or 10GB, not %q", c.MaxStore)
	}
	config, err := streamsConfig()
	if err != nil {
		return err
	}
	known := shop.Identities(shopRules{}.config(), config)
	return events.FirstOf(knownIdentities("--rotate", c.Rotate, known), knownIdentities("--retire", c.Retire, known))
}

func knownIdentities(flag string, names []string, known []natsauth.Identity) error {
	for _, name := range names {
		if !slices.ContainsFunc(known, func(i natsauth.Identity) bool { return i.Name == name }) {
			return fmt.Errorf("%s: there is no identity %q", flag, name)
		}
	}
	return nil
}

func knownService(name string) error {
	if slices.Contains(serviceNames, name) {
		return nil
	}
	return fmt.Errorf("there is no service %q; there are %s", name, strings.Join(serviceNames, ", "))
}

func positive(flag string, d time.Duration) error {
	if d > 0 {
		return nil
	}
	return fmt.Errorf("%s must be longer than nothing, such as 15m, not %v", flag, d)
}

func notNegative(flag string, d time.Duration) error {
	if d >= 0 {
		return nil
	}
	return fmt.Errorf("%s must be 0s or longer, not %v", flag, d)
}

func replicas(n int) error {
	if n >= 0 && n <= 5 {
		return nil
	}
	return fmt.Errorf("--replicas must be 1 to 5, or 0 to leave them alone, not %d", n)
}

// address checks that somebody could listen there. Whether it is free, and this
// machine's, shows when somebody does.
func address(flag, s string) error {
	_, port, err := net.SplitHostPort(s)
	if err == nil {
		_, err = net.LookupPort("tcp", port)
	}
	if err != nil {
		return fmt.Errorf("%s must be an address such as 127.0.0.1:8080, or :8080 for all of this machine's, not %q", flag, s)
	}
	return nil
}

// listen listens on an address that a flag gives.
func listen(flag, address string) (net.Listener, error) {
	listener, err := net.Listen("tcp", address)
	if err != nil {
		return nil, fmt.Errorf("%s: %w; stop what is there, or give another address", flag, err)
	}
	return listener, nil
}

// Validate checks whom the gateway believes, who may call it, and how many may wait.
func (f fronting) Validate() error {
	if err := httpapi.CheckCORSOrigins(f.CORSOrigin); err != nil {
		return fmt.Errorf("--cors-origin %w", err)
	}
	if _, err := clientaddr.ParseProxies(f.TrustedProxies); err != nil {
		return fmt.Errorf("--trusted-proxies %w", err)
	}
	return events.FirstOf(bound("--max-followers", f.MaxFollowers), bound("--max-waiting", f.MaxWaiting))
}

func bound(flag string, n int) error {
	if n >= 0 {
		return nil
	}
	return fmt.Errorf("%s must be 1 or more, or 0 for what is usual, not %d", flag, n)
}

// origin checks --public-url, which may be "".
func origin(s string) error {
	if err := httpapi.CheckOrigin(s); err != nil {
		return fmt.Errorf("--public-url %w", err)
	}
	return nil
}

// writableFolder makes a folder if need be, and makes sure that files can be
// made in it.
func writableFolder(flag, path string) error {
	err := os.MkdirAll(path, 0o750)
	if err == nil {
		var probe *os.File
		if probe, err = os.CreateTemp(path, ".writable"); err == nil {
			err = errors.Join(probe.Close(), os.Remove(probe.Name()))
		}
	}
	if err != nil {
		return fmt.Errorf("%s must be a folder that can be written: %w", flag, err)
	}
	return nil
}
