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
	"lonja/kit/natsembed"
	"lonja/kit/streams"
	"lonja/services/identity"
	"lonja/shop"
)

// Kong calls a command's Validate before it runs anything. Validate reports a wrong
// flag in one line that names the flag and what is allowed. It has no side effects:
// it creates no file and takes no port.

// Validate checks the flags of the services. The deadlines are compared only where
// one process runs both inventory and payments; see checkDeadlines.
func (r shopRules) Validate() error {
	return events.FirstOf(positive("--reservation-ttl", r.ReservationTTL), positive("--payment-deadline", r.PaymentDeadline), r.checkOrderWait(), r.checkKeyAge(), r.checkAdmin())
}

// checkDeadlines checks that a payment is due before its reservation expires.
func (r shopRules) checkDeadlines() error {
	if r.PaymentDeadline >= r.ReservationTTL {
		return fmt.Errorf("--payment-deadline %v must be shorter than --reservation-ttl %v: a reservation must outlast the payment", r.PaymentDeadline, r.ReservationTTL)
	}
	return nil
}

// checkOrderWait rejects a wait that an order of a shop that is not busy may take.
func (r shopRules) checkOrderWait() error {
	if r.OrderWait == 0 || r.OrderWait >= 100*time.Millisecond {
		return nil
	}
	return fmt.Errorf("--order-wait must be 100ms or longer, or 0 to accept all orders, not %v", r.OrderWait)
}

// checkKeyAge rejects an age that is hardly longer than a key is published before and after it
// signs.
func (r shopRules) checkKeyAge() error {
	if r.SigningKeyAge == 0 || r.SigningKeyAge >= time.Hour {
		return nil
	}
	return fmt.Errorf("--signing-key-age must be 1h or longer, or 0 for no rotation by age, not %v", r.SigningKeyAge)
}

// checkAdmin checks the first administrator by the rules for every user.
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

// Validate checks the URLs and the authority. It does not check the keys, because
// it depends on the command which of them are needed.
func (c connection) Validate() error {
	if _, err := c.servers(); err != nil {
		return err
	}
	if c.CA == "" {
		return nil
	}
	pem, err := os.ReadFile(c.CA)
	if err == nil && !x509.NewCertPool().AppendCertsFromPEM(pem) {
		err = fmt.Errorf("%s contains no PEM certificate", c.CA)
	}
	if err != nil {
		return fmt.Errorf("--nats-ca: %w", err)
	}
	return nil
}

// servers parses the servers' URLs. The error shows no URL, which can contain a
// password.
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
			return nil, fmt.Errorf("--nats must be a URL such as nats://host:4222, or several separated by commas; number %d is not a URL", i+1)
		}
		all = append(all, u)
	}
	return all, nil
}

// Validate checks the flags of up.
func (c *upCommand) Validate() error {
	err := c.Sync.apply(&natsembed.Config{})
	if err == nil && c.KEKFile != "" {
		err = usableKEKs(c.KEKFile)
	}
	return events.FirstOf(err, c.shopRules.Validate(), c.profiling.Validate(),
		c.partitionsFlag.check(), address("--http", c.HTTP), address("--nats", c.NATS), c.checkExposure(), origin(c.PublicURL), c.gatewayFlags.Validate(), c.checkDeadlines())
}

// checkExposure rejects a NATS server without authentication that other machines
// can reach.
func (c *upCommand) checkExposure() error {
	host, _, err := net.SplitHostPort(c.NATS)
	if err != nil || c.NATSAuth || isLoopback(host) {
		return err
	}
	return fmt.Errorf("--nats %s can be reached from other machines without authentication: give --nats-auth, or a loopback address such as 127.0.0.1:4222", c.NATS)
}

func isLoopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// Validate checks the flags of service.
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
		if err := c.checkDeadlines(); err != nil {
			return err
		}
	}
	return c.checkKEKFile()
}

// Validate checks the flags of gateway.
func (c *gatewayCommand) Validate() error {
	if c.PublicURL == "" {
		return errors.New("--public-url is required: give the URL at which customers reach the shop, such as https://shop.example")
	}
	return events.FirstOf(c.connection.Validate(), address("--http", c.HTTP), notNegative("--drain", c.Drain), origin(c.PublicURL), c.gatewayFlags.Validate())
}

// Validate checks the address for profiles.
func (p profiling) Validate() error {
	if p.Pprof == "" {
		return nil
	}
	return address("--pprof", p.Pprof)
}

// Validate checks that the views folder exists, before the whole log is read.
func (c *auditCommand) Validate() error {
	if err := c.connection.Validate(); err != nil || c.Data == "" {
		return err
	}
	if info, err := os.Stat(c.Data); err != nil || !info.IsDir() {
		return fmt.Errorf("--data must be the folder of the views, or \"\" to compare none; %s is not a folder", c.Data)
	}
	return nil
}

// Validate checks that the service exists.
func (c *rebuildCommand) Validate() error {
	return events.FirstOf(c.connection.Validate(), knownService(c.Service))
}

// Validate checks the number of replicas.
func (c *planCommand) Validate() error {
	return events.FirstOf(c.connection.Validate(), replicas(c.Replicas))
}

// Validate checks the replicas, the wait and the streams' names.
func (c *applyCommand) Validate() error {
	if err := events.FirstOf(c.connection.Validate(), replicas(c.Replicas), notNegative("--wait", c.Wait), c.partitionsFlag.check()); err != nil {
		return err
	}
	config, err := streamsConfig()
	if err != nil {
		return err
	}
	for _, name := range c.AllowLoss {
		if !slices.ContainsFunc(config.Streams, func(s streams.Stream) bool { return s.Name == streams.BaseOf(name) }) {
			return fmt.Errorf("--allow-loss: there is no stream %q in streams.yaml", name)
		}
	}
	return nil
}

// Validate checks the limit.
func (c *deadLettersListCommand) Validate() error {
	if c.Limit <= 0 {
		return fmt.Errorf("--limit must be 1 or more, not %d", c.Limit)
	}
	return c.connection.Validate()
}

// Validate checks the URL.
func (c *healthcheckCommand) Validate() error {
	if u, err := url.Parse(c.URL); err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		return fmt.Errorf("<url> must be a URL such as http://127.0.0.1:8080/healthz, not %q", c.URL)
	}
	return nil
}

var (
	hostName = regexp.MustCompile(`^[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?$`)
	size     = regexp.MustCompile(`^[1-9][0-9]*([kKmMgGtT]([iI]?[bB])?)?$`) // as NATS reads it
)

// Validate checks the names of the servers, which become file names and
// configuration, and the names of the identities.
func (c *natsConfigCommand) Validate() error {
	for i, name := range c.Servers {
		if !hostName.MatchString(name) || name == "auth" { // auth.conf is shared by all servers
			return fmt.Errorf("--servers must be host names other than auth, not %q", name)
		}
		if slices.Contains(c.Servers[:i], name) {
			return fmt.Errorf("--servers: %s is named twice", name)
		}
	}
	if len(c.Servers) == 0 {
		return errors.New("--servers must name at least one server")
	}
	if c.Store == "" || strings.ContainsAny(c.Store, "\r\n\"'{}[]()#;,$") {
		return fmt.Errorf("--store must be a path without quotes, brackets, commas, '#', ';' and '$', not %q", c.Store)
	}
	if !size.MatchString(c.MaxStore) {
		return fmt.Errorf("--max-store must be a size such as 500MB or 10GB, not %q", c.MaxStore)
	}
	config, err := streamsConfig()
	if err != nil {
		return err
	}
	known := shop.Identities(shopRules{}.config(), config)
	return events.FirstOf(c.partitionsFlag.check(), knownIdentities("--rotate", c.Rotate, known), knownIdentities("--retire", c.Retire, known))
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
	return fmt.Errorf("there is no service %q; the services are %s", name, strings.Join(serviceNames, ", "))
}

func positive(flag string, d time.Duration) error {
	if d > 0 {
		return nil
	}
	return fmt.Errorf("%s must be a positive duration such as 15m, not %v", flag, d)
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
	return fmt.Errorf("--replicas must be 1 to 5, or 0 to keep the present number, not %d", n)
}

// address checks the form of a listen address. Whether it is free and belongs to
// this machine shows only when listening.
func address(flag, s string) error {
	_, port, err := net.SplitHostPort(s)
	if err == nil {
		_, err = net.LookupPort("tcp", port)
	}
	if err != nil {
		return fmt.Errorf("%s must be an address such as 127.0.0.1:8080, or :8080 for all interfaces, not %q", flag, s)
	}
	return nil
}

// listen listens on the address of a flag, which its error names.
func listen(flag, address string) (net.Listener, error) {
	listener, err := net.Listen("tcp", address)
	if err != nil {
		return nil, fmt.Errorf("%s: %w; stop the process that uses it, or give another address", flag, err)
	}
	return listener, nil
}

// Validate checks the flags that every gateway has.
func (f gatewayFlags) Validate() error {
	if err := httpapi.CheckCORSOrigins(f.CORSOrigin); err != nil {
		return fmt.Errorf("--cors-origin %w", err)
	}
	if _, err := clientaddr.ParseProxies(f.TrustedProxies); err != nil {
		return fmt.Errorf("--trusted-proxies %w", err)
	}
	return events.FirstOf(events.Text("--shop-name", f.ShopName, 0, 100), events.Text("--shop-address", f.ShopAddress, 0, 500), bound("--max-followers", f.MaxFollowers), bound("--max-waiting", f.MaxWaiting))
}

func bound(flag string, n int) error {
	if n >= 0 {
		return nil
	}
	return fmt.Errorf("%s must be 1 or more, or 0 for the default, not %d", flag, n)
}

// origin checks --public-url; "" is valid.
func origin(s string) error {
	if err := httpapi.CheckOrigin(s); err != nil {
		return fmt.Errorf("--public-url %w", err)
	}
	return nil
}

// writableFolder creates a folder if it does not exist, and checks that files can
// be created in it.
func writableFolder(flag, path string) error {
	err := os.MkdirAll(path, 0o750)
	if err == nil {
		var probe *os.File
		if probe, err = os.CreateTemp(path, ".writable"); err == nil {
			err = errors.Join(probe.Close(), os.Remove(probe.Name()))
		}
	}
	if err != nil {
		return fmt.Errorf("%s must be a writable folder: %w", flag, err)
	}
	return nil
}
