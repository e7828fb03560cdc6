package harness

import (
	"crypto/rand"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"lonja/kit/natsauth"
	"lonja/shop"
)

// ThreeServers are the names of the servers of a cluster.
var ThreeServers = []string{"nats-1", "nats-2", "nats-3"}

// Servers are real NATS servers, each a process of its own, of the version in
// go.mod and on the configuration that lonja nats-config writes: every identity may
// do its own work only.
type Servers struct {
	T       *testing.T
	Dir     string // where nats-config wrote; the seeds are in keys/IDENTITY/seed
	tls     bool
	apply   []string // what streams apply is told about partitions
	names   []string
	clients map[string]string // where clients connect: "127.0.0.1:20001"
	monitor map[string]string // where each serves /healthz
	running map[string]*exec.Cmd
}

// StartServers writes a configuration for servers of these names, starts them, and
// waits until they are healthy. Several make a cluster. They have no streams. Flags
// are nats-config's own; OpenShop makes as many partitions as they name. The servers are killed when the test ends.
func StartServers(t *testing.T, names []string, flags ...string) *Servers {
	t.Helper()
	d := &Servers{T: t, Dir: filepath.Join(t.TempDir(), "conf"), names: names,
		clients: map[string]string{}, monitor: map[string]string{}, running: map[string]*exec.Cmd{}}
	Run(t, append([]string{"nats-config", "--out", d.Dir, "--servers", strings.Join(names, ","), "--store", "STORE"}, flags...)...)
	if i := slices.Index(flags, "--partitions"); i >= 0 {
		d.apply = flags[i : i+2]
	}
	_, err := os.Stat(filepath.Join(d.Dir, "tls"))
	d.tls = err == nil
	d.onLoopback()
	for _, name := range names {
		d.Start(name)
	}
	for _, name := range names {
		d.AwaitHealthy(name)
	}
	return d
}

// onLoopback replaces the addresses of the written configuration, and nothing
// else: here all servers live on one host.
func (d *Servers) onLoopback() {
	d.T.Helper()
	replace := []string{}
	for _, name := range d.names {
		d.clients[name], d.monitor[name] = FreeAddr(d.T), FreeAddr(d.T)
		replace = append(replace, "@"+name+":6222", "@"+FreeAddr(d.T))
	}
	routes := strings.NewReplacer(replace...)
	for i, name := range d.names {
		path := filepath.Join(d.Dir, name+".conf")
		data, err := os.ReadFile(path)
		if err != nil {
			d.T.Fatal(err)
		}
		text := routes.Replace(strings.NewReplacer("0.0.0.0:4222", d.clients[name], "0.0.0.0:8222", d.monitor[name],
			"0.0.0.0:6222", strings.TrimPrefix(replace[2*i+1], "@"), "STORE", filepath.Join(filepath.Dir(d.Dir), name)).Replace(string(data)))
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			d.T.Fatal(err)
		}
	}
}

// Start starts a server on the store that it had before.
func (d *Servers) Start(name string) {
	d.T.Helper()
	cmd := exec.Command(natsServer(d.T), "-c", filepath.Join(d.Dir, name+".conf"), "-l", d.LogFile(name))
	if err := cmd.Start(); err != nil {
		d.T.Fatal(err)
	}
	d.running[name] = cmd
	d.T.Cleanup(func() { d.Kill(name) })
}

// Kill ends a server at once. To kill one that does not run does nothing.
func (d *Servers) Kill(name string) {
	if cmd := d.running[name]; cmd != nil {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		delete(d.running, name)
	}
}

// Process returns the process of a running server.
func (d *Servers) Process(name string) *os.Process { return d.running[name].Process }

// Only returns the same cluster with one server for clients to connect to.
func (d *Servers) Only(name string) *Servers {
	one := *d
	one.names = []string{name}
	return &one
}

// LogFile is where a server logs to.
func (d *Servers) LogFile(name string) string { return filepath.Join(filepath.Dir(d.Dir), name+".log") }

// AwaitHealthy waits until a server reports that it is healthy, which includes all
// its streams, for a minute at most.
func (d *Servers) AwaitHealthy(name string) {
	d.T.Helper()
	Within(d.T, time.Minute, func() error {
		resp, err := http.Get("http://" + d.monitor[name] + "/healthz")
		if err != nil {
			return err
		}
		defer resp.Body.Close()
		if resp.StatusCode != http.StatusOK {
			return fmt.Errorf("%s is %s; see %s", name, resp.Status, d.LogFile(name))
		}
		return nil
	})
}

// URL is the address of all servers, with commas between.
func (d *Servers) URL() string {
	scheme := "nats://"
	if d.tls {
		scheme = "tls://"
	}
	var urls []string
	for _, name := range d.names {
		urls = append(urls, scheme+d.clients[name])
	}
	return strings.Join(urls, ",")
}

// As returns the flags with which an identity connects. They give it its own seed
// and no other.
func (d *Servers) As(identity string) []string {
	d.T.Helper()
	own := filepath.Join(d.T.TempDir(), "keys")
	if err := os.CopyFS(filepath.Join(own, identity), os.DirFS(filepath.Join(d.Dir, "keys", identity))); err != nil {
		d.T.Fatal(err)
	}
	flags := []string{"--nats", d.URL(), "--nats-keys", own}
	if d.tls {
		flags = append(flags, "--nats-ca", filepath.Join(d.Dir, "tls", "ca.pem"))
	}
	return flags
}

// Connect connects as an identity until the test ends. What the server denies it
// is in the connection's LastError.
func (d *Servers) Connect(identity string) *nats.Conn {
	d.T.Helper()
	key, err := nats.NkeyOptionFromSeed(filepath.Join(d.Dir, "keys", identity, "seed"))
	if err != nil {
		d.T.Fatal(err)
	}
	options := []nats.Option{key, nats.Name("test"), nats.CustomInboxPrefix(natsauth.InboxPrefix(identity) + "." + rand.Text()),
		nats.ErrorHandler(func(*nats.Conn, *nats.Subscription, error) {}), nats.MaxReconnects(-1)}
	if d.tls {
		options = append(options, nats.RootCAs(filepath.Join(d.Dir, "tls", "ca.pem")))
	}
	nc, err := nats.Connect(d.URL(), options...)
	if err != nil {
		d.T.Fatal(err)
	}
	d.T.Cleanup(nc.Close)
	return nc
}

// OpenShop makes the streams, starts replicas of every service and one gateway,
// each with its own key only, and waits until the shop is ready. It returns the
// shop and all processes. Views are kept in data.
func (d *Servers) OpenShop(data string, replicas ...string) (*Shop, []*Process) {
	d.T.Helper()
	apply := append([]string{"streams", "apply", "--wait", "60s", "--replicas", fmt.Sprint(len(d.names))}, d.apply...)
	Run(d.T, append(apply, d.As(shop.Operator)...)...)
	var all []*Process
	for _, name := range shop.Names() {
		for _, replica := range replicas {
			service := append(ServicesOn(data, name), "--replica", replica, "--sandbox")
			all = append(all, Start(d.T, append(service, d.As(name)...)...))
		}
	}
	gateway := Start(d.T, append(GatewayOn(FreeAddr(d.T)), d.As("gateway")...)...)
	s := At(d.T, gateway.Said["shop"])
	s.AwaitReady()
	return s, append(all, gateway)
}

// Audit waits until the shop is at rest, fails the test unless lonja audit finds no
// violation, and returns what it printed.
func (d *Servers) Audit(data string) string {
	d.T.Helper()
	var out []byte
	Within(d.T, time.Minute, func() (err error) { // what was interrupted is taken up after ack_wait
		if out, err = Command(d.T, append([]string{"audit", "--settled", "--data", data, "--kek-file", kekFile}, d.As(shop.Operator)...)...).CombinedOutput(); err != nil {
			err = fmt.Errorf("lonja audit: %w\n%s", err, out)
		}
		return err
	})
	return string(out)
}

// Leader returns the server that leads a stream.
func (d *Servers) Leader(stream string) (name string) {
	d.T.Helper()
	nc := d.Connect(shop.Operator)
	defer nc.Close()
	Eventually(d.T, func() error {
		m, err := nc.Request("$JS.API.STREAM.INFO."+stream, nil, time.Second)
		if err != nil {
			return err
		}
		var info struct {
			Cluster struct {
				Leader string `json:"leader"`
			} `json:"cluster"`
		}
		if err := json.Unmarshal(m.Data, &info); err != nil || info.Cluster.Leader == "" {
			return fmt.Errorf("%s has no leader: %s", stream, m.Data)
		}
		name = info.Cluster.Leader
		return nil
	})
	return name
}
