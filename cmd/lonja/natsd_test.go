package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
)

// natsServer builds the NATS server that go.mod names, once for all tests.
var natsServer = sync.OnceValues(func() (string, error) {
	path := filepath.Join(filepath.Dir(binary), "nats-server")
	if out, err := exec.Command("go", "build", "-o", path, "github.com/nats-io/nats-server/v2").CombinedOutput(); err != nil {
		return "", fmt.Errorf("go build nats-server: %w\n%s", err, out)
	}
	return path, nil
})

// natsd are real NATS servers, each a process of its own, on the configuration
// that nats-config writes.
type natsd struct {
	t       *testing.T
	dir     string // that nats-config wrote to
	tls     bool
	names   []string
	clients map[string]string // where clients connect: "127.0.0.1:20001"
	monitor map[string]string
	running map[string]*exec.Cmd
}

// startNATSServers writes a configuration for servers of these names and starts
// them. They stop when the test ends.
func startNATSServers(t *testing.T, names []string, flags ...string) *natsd {
	t.Helper()
	d := &natsd{t: t, dir: filepath.Join(t.TempDir(), "conf"), names: names,
		clients: map[string]string{}, monitor: map[string]string{}, running: map[string]*exec.Cmd{}}
	runOnce(t, append([]string{"nats-config", "--out", d.dir, "--servers", strings.Join(names, ","), "--store", "STORE"}, flags...)...)
	_, err := os.Stat(filepath.Join(d.dir, "tls"))
	d.tls = err == nil
	d.onLoopback()
	for _, name := range names {
		d.start(name)
	}
	for _, name := range names {
		d.awaitHealthy(name)
	}
	return d
}

// onLoopback replaces the addresses of the written configuration, and nothing
// else: here all servers live on one host.
func (d *natsd) onLoopback() {
	d.t.Helper()
	replace := []string{}
	for _, name := range d.names {
		d.clients[name], d.monitor[name] = freeAddr(d.t), freeAddr(d.t)
		replace = append(replace, "@"+name+":6222", "@"+freeAddr(d.t))
	}
	routes := strings.NewReplacer(replace...)
	for i, name := range d.names {
		path := filepath.Join(d.dir, name+".conf")
		data, err := os.ReadFile(path)
		if err != nil {
			d.t.Fatal(err)
		}
		text := routes.Replace(strings.NewReplacer("0.0.0.0:4222", d.clients[name], "0.0.0.0:8222", d.monitor[name],
			"0.0.0.0:6222", strings.TrimPrefix(replace[2*i+1], "@"), "STORE", filepath.Join(filepath.Dir(d.dir), name)).Replace(string(data)))
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			d.t.Fatal(err)
		}
	}
}

func freeAddr(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

func (d *natsd) start(name string) {
	d.t.Helper()
	server, err := natsServer()
	if err != nil {
		d.t.Fatal(err)
	}
	cmd := exec.Command(server, "-c", filepath.Join(d.dir, name+".conf"), "-l", d.log(name))
	if err := cmd.Start(); err != nil {
		d.t.Fatal(err)
	}
	d.running[name] = cmd
	d.t.Cleanup(func() { d.kill(name) })
}

// kill ends a server at once.
func (d *natsd) kill(name string) {
	if cmd := d.running[name]; cmd != nil {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		delete(d.running, name)
	}
}

func (d *natsd) log(name string) string { return filepath.Join(filepath.Dir(d.dir), name+".log") }

// awaitHealthy waits until a server says that it is well, with all its streams.
func (d *natsd) awaitHealthy(name string) {
	d.t.Helper()
	within(d.t, time.Minute, func() error {
		resp, err := http.Get("http://" + d.monitor[name] + "/healthz")
		if err != nil {
			return err
		}
		defer resp.Body.Close()
		if resp.StatusCode != http.StatusOK {
			return fmt.Errorf("%s is %s; see %s", name, resp.Status, d.log(name))
		}
		return nil
	})
}

// url is all servers'.
func (d *natsd) url() string {
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

// as are the flags with which an identity connects: with its own seed and no
// other's.
func (d *natsd) as(identity string) []string {
	d.t.Helper()
	own := filepath.Join(d.t.TempDir(), "keys")
	if err := os.CopyFS(filepath.Join(own, identity), os.DirFS(filepath.Join(d.dir, "keys", identity))); err != nil {
		d.t.Fatal(err)
	}
	flags := []string{"--nats", d.url(), "--nats-keys", own}
	if d.tls {
		flags = append(flags, "--nats-ca", filepath.Join(d.dir, "tls", "ca.pem"))
	}
	return flags
}

// connect connects a test as an identity; what the server refuses it is in
// LastError.
func (d *natsd) connect(identity string) *nats.Conn {
	d.t.Helper()
	c := connection{NATS: d.url(), Keys: filepath.Join(d.dir, "keys")}
	if d.tls {
		c.CA = filepath.Join(d.dir, "tls", "ca.pem")
	}
	options, err := c.options(identity, "test")
	if err != nil {
		d.t.Fatal(err)
	}
	nc, err := nats.Connect(c.NATS, append(options, nats.ErrorHandler(func(*nats.Conn, *nats.Subscription, error) {}), nats.MaxReconnects(-1))...)
	if err != nil {
		d.t.Fatal(err)
	}
	d.t.Cleanup(nc.Close)
	return nc
}

// openShop starts replicas of every service, and two gateways, each with its own
// identity's key only, and returns the first gateway's shop and all processes.
func (d *natsd) openShop(data string, replicas ...string) (*shop, []*process) {
	d.t.Helper()
	runOnce(d.t, append([]string{"streams", "apply", "--wait", "60s", "--replicas", fmt.Sprint(len(d.names))}, d.as(operator)...)...)
	var all []*process
	for _, name := range serviceNames {
		for _, replica := range replicas {
			all = append(all, start(d.t, append([]string{"service", name, "--data", data, "--replica", replica, "--sandbox",
				"--admin-email", adminEmail, "--admin-password", adminPassword}, d.as(name)...)...))
		}
	}
	gateway := start(d.t, append(gatewayOn(freeAddr(d.t)), d.as("gateway")...)...)
	s := &shop{d.t, gateway.said["shop"]}
	s.awaitReady()
	return s, append(all, gateway)
}

// gatewayOn is the command for a gateway that serves the sandbox, too.
func gatewayOn(addr string) []string {
	return []string{"gateway", "--http", addr, "--public-url", "http://" + addr, "--sandbox"}
}

// awaitReady waits until the whole shop says that it is.
func (s *shop) awaitReady() {
	s.t.Helper()
	within(s.t, 30*time.Second, func() error {
		resp, err := http.Get(s.url + "/readyz")
		if err != nil {
			return err
		}
		defer resp.Body.Close()
		if resp.StatusCode != http.StatusOK {
			var body bytes.Buffer
			_, _ = body.ReadFrom(resp.Body)
			return fmt.Errorf("not ready: %s", body.String())
		}
		return nil
	})
}

// audit fails the test unless lonja audit finds nothing, once the shop is at rest.
func (d *natsd) audit(data string) string {
	d.t.Helper()
	var out []byte
	within(d.t, time.Minute, func() (err error) { // what was interrupted is taken up after ack_wait
		if out, err = exec.Command(binary, append([]string{"audit", "--settled", "--data", data}, d.as(operator)...)...).CombinedOutput(); err != nil {
			err = fmt.Errorf("lonja audit: %w\n%s", err, out)
		}
		return err
	})
	return string(out)
}

// leader is the server that leads a stream.
func (d *natsd) leader(stream string) (name string) {
	d.t.Helper()
	nc := d.connect(operator)
	defer nc.Close()
	eventually(d.t, func() error {
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
