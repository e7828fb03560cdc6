package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"lonja/client"
	"lonja/kit/keyring"
	parts "lonja/shop"
)

const loopback = "127.0.0.1"

func at(port int) string { return net.JoinHostPort(loopback, strconv.Itoa(port)) }

// shape describes the processes of a shop. The zero shape is `lonja up`, one process.
type shape struct {
	nodes        int          // NATS servers; 0 means the embedded server of lonja up
	replicas     int          // of each service
	gateways     int          //
	proxied      bool         // every service connects to NATS through a proxy
	flags        []string     // additional flags for the services
	clockOffsets clockOffsets // offsets of the parts' clocks
}

var (
	inProcess = shape{}
	separate  = shape{nodes: 1, replicas: 2, gateways: 2}
	clustered = shape{nodes: 3, replicas: 2, gateways: 2}
)

func (s shape) with(flags ...string) shape      { s.flags = flags; return s }
func (s shape) withClocks(c clockOffsets) shape { s.clockOffsets = c; return s }
func (s shape) behindProxies() shape            { s.proxied = true; return s }

var serviceNames = parts.Names()

const (
	adminEmail    = "boss@shop.example"
	adminPassword = "a long enough password"
)

// shop is a running shop.
type shop struct {
	shape
	dir      string
	program  string
	env      []string // of every part that is started from now on
	order    []string // of the parts' names, as they were started
	parts    map[string]*part
	gateways []string // "http://127.0.0.1:20001"
	natsURL  string
	nc       *nats.Conn
	js       jetstream.JetStream
}

// openShop starts a shop in a folder of its own. The caller must close it, even
// after an error.
func openShop(ctx context.Context, s shape, program, dir string) (*shop, error) {
	sh := &shop{shape: s, dir: dir, program: program, parts: map[string]*part{}}
	if err := os.MkdirAll(sh.data(), 0o755); err != nil {
		return sh, err
	}
	if s.nodes == 0 {
		return sh, errors.Join(sh.openUp(), sh.connect())
	}
	if err := errors.Join(sh.openNodes(), sh.connect()); err != nil {
		return sh, err
	}
	if err := eventually(ctx, 30*time.Second, sh.applyStreams); err != nil {
		return sh, err
	}
	if err := sh.openServices(); err != nil {
		return sh, err
	}
	return sh, sh.openGateways()
}

func (s *shop) data() string { return filepath.Join(s.dir, "data") }

func (s *shop) adminFlags() []string {
	return append([]string{"--admin-email", adminEmail, "--admin-password", adminPassword}, s.flags...)
}

func (s *shop) openUp() error {
	transport, broker := freePort(), freePort()
	s.gateways = []string{"http://" + at(transport)}
	s.natsURL = "nats://" + at(broker)
	return s.add("up", s.program, nil, append([]string{"up", "--data", s.data(), "--http", at(transport), "--nats", at(broker)}, s.adminFlags()...)...)
}

func (s *shop) openNodes() error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	var urls []string
	nodes := make([]node, s.nodes)
	for i := range nodes {
		nodes[i] = node{Name: "nats-" + strconv.Itoa(i+1), Port: freePort()}
		nodes[i].Dir = filepath.Join(s.dir, nodes[i].Name)
		urls = append(urls, "nats://"+at(nodes[i].Port))
		if s.nodes > 1 {
			nodes[i].Cluster = freePort()
		}
	}
	s.natsURL = strings.Join(urls, ",")
	for i := range nodes {
		for j := range nodes {
			if j != i {
				nodes[i].Routes = append(nodes[i].Routes, nodes[j].Cluster)
			}
		}
		if err := s.add(nodes[i].Name, self, nil, nodeFlag, nodes[i].argument()); err != nil {
			return err
		}
	}
	return nil
}

func (s *shop) openServices() error {
	keks := filepath.Join(s.dir, "kek")
	if _, err := keyring.CreateKEKs(keks); err != nil {
		return err
	}
	s.env = []string{"LONJA_KEK_FILE=" + keks} // not a flag: the version before has none of that name
	for _, name := range serviceNames {
		for i := range s.replicas {
			replica := string(rune('a' + i))
			url := s.natsURL
			var through *proxy
			if s.proxied {
				var err error
				if through, err = newProxy(strings.TrimPrefix(s.natsURL, "nats://")); err != nil {
					return err
				}
				url = "nats://" + through.addr()
			}
			err := s.addService(name, replica, through,
				append([]string{"service", name, "--nats", url, "--data", s.data(), "--replica", replica, "--sandbox"}, s.adminFlags()...)...)
			if err != nil {
				return err
			}
		}
	}
	return nil
}

func (s *shop) openGateways() error {
	for i := range s.shape.gateways {
		port := freePort()
		if err := s.add("gateway-"+strconv.Itoa(i+1), s.program, nil, "gateway", "--nats", s.natsURL, "--http", at(port),
			"--public-url", "http://"+at(port), "--sandbox"); err != nil {
			return err
		}
		s.gateways = append(s.gateways, "http://"+at(port))
	}
	return nil
}

// add starts a part for the first time.
func (s *shop) add(name, program string, through *proxy, args ...string) error {
	return s.addPart(name, "", program, through, args)
}

// addService starts a replica of a service for the first time.
func (s *shop) addService(name, replica string, through *proxy, args ...string) error {
	return s.addPart(name+"-"+replica, name, s.program, through, args)
}

func (s *shop) addPart(name, service, program string, through *proxy, args []string) error {
	p := &part{name: name, service: service, program: program, args: args, env: append(s.clockOffsets.variables(name), s.env...), proxy: through, log: filepath.Join(s.dir, name+".out")}
	s.parts[name], s.order = p, append(s.order, name)
	return p.start()
}

func (s *shop) connect() (err error) {
	s.nc, err = nats.Connect(s.natsURL, nats.Name("chaos"), nats.MaxReconnects(-1), nats.ReconnectWait(50*time.Millisecond))
	if err != nil {
		return err
	}
	s.js, err = jetstream.New(s.nc)
	return err
}

func (s *shop) applyStreams() error {
	_, err := s.tool("streams", "apply", "--nats", s.natsURL, "--replicas", strconv.Itoa(s.nodes))
	return err
}

// tool runs lonja to its end.
func (s *shop) tool(args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, s.program, args...)
	cmd.Env = append(environment(), s.env...)
	out, err := cmd.CombinedOutput()
	if err != nil {
		return string(out), fmt.Errorf("lonja %s: %w\n%s", args[0], err, out)
	}
	return string(out), nil
}

// named returns the parts whose name begins with one of the prefixes, in the order
// in which they were started.
func (s *shop) named(prefixes ...string) []*part {
	var found []*part
	for _, name := range s.order {
		for _, prefix := range prefixes {
			if strings.HasPrefix(name, prefix) {
				found = append(found, s.parts[name])
			}
		}
	}
	return found
}

// ready returns nil when every gateway reports that the shop is ready.
func (s *shop) ready() error {
	for _, url := range s.gateways {
		res, err := newClient(url, transport).Do(context.Background(), client.Request{Method: http.MethodGet, Path: "/readyz"})
		if err != nil {
			return err
		}
		if res.StatusCode != http.StatusOK {
			return fmt.Errorf("not ready: %s", res.Body)
		}
	}
	return nil
}

// close kills whatever still runs.
func (s *shop) close() {
	if s.nc != nil {
		s.nc.Close()
	}
	for _, p := range s.parts {
		p.kill()
		if p.proxy != nil {
			p.proxy.close()
		}
	}
}

// allocatedPorts holds the ports that freePort returned. A part may not listen on
// its port yet.
var allocatedPorts sync.Map

// freePort returns a free port. It is below the range that the system uses for
// outgoing connections, because it must still be free after a restart.
func freePort() int {
	for {
		port := 20_000 + rand.IntN(10_000)
		l, err := net.Listen("tcp", at(port))
		if err != nil {
			continue
		}
		l.Close()
		if _, twice := allocatedPorts.LoadOrStore(port, true); !twice {
			return port
		}
	}
}

// eventually calls try until it returns nil or the time is over. Then it returns
// the last error from before the end of the time.
func eventually(ctx context.Context, within time.Duration, try func() error) (last error) {
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	for {
		err := try()
		if err == nil {
			return nil
		}
		if last == nil || ctx.Err() == nil {
			last = err
		}
		if !pause(ctx, 20*time.Millisecond) {
			return fmt.Errorf("not within %v: %w", within, last)
		}
	}
}

// pause waits. It returns false when ctx ends first.
func pause(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
