// Package containers builds the image and runs compose.yaml as users do. It also
// checks that both files agree with the program. Most tests require a Docker engine
// and the flag -containers.
package containers

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"lonja/shop"
	"lonja/test/harness"
)

var inContainers = flag.Bool("containers", false, "build the image and run compose.yaml, too")

// needEngine skips the test unless -containers is given and an engine is available.
func needEngine(t *testing.T) {
	t.Helper()
	if !*inContainers {
		t.Skip("containers take minutes, and a Docker engine: go test ./test/containers -containers -timeout 20m")
	}
	if out, err := exec.Command("docker", "version", "--format", "{{.Server.Version}}").CombinedOutput(); err != nil {
		reason, _, _ := strings.Cut(string(out), "\n")
		t.Skipf("containers are left out: no Docker engine answers: %s", reason)
	}
	if _, err := exec.LookPath("docker-compose"); err != nil && !hasComposeV2() {
		t.Skip("containers are left out: there is neither docker compose nor docker-compose")
	}
}

// command runs a command at the top of the tree and fails the test unless it
// succeeds.
func command(t *testing.T, env []string, name string, args ...string) string {
	t.Helper()
	out, err := tryCommand(env, name, args...)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func tryCommand(env []string, name string, args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir = "../.."
	cmd.Env = append(os.Environ(), env...)
	out, err := cmd.CombinedOutput()
	if err != nil {
		return string(out), fmt.Errorf("%s %s: %w\n%s", name, strings.Join(args, " "), err, out)
	}
	return strings.TrimSpace(string(out)), nil
}

func docker(t *testing.T, args ...string) string {
	t.Helper()
	return command(t, nil, "docker", args...)
}

// containers is a shop from compose.yaml under a project name of its own.
type containers struct {
	t       *testing.T
	name    string
	env     []string
	flags   []string
	gateway []*harness.Shop // the published gateways
	nats    string          // its published address
	ids     map[string]string
}

// composeUp starts compose.yaml on free ports and waits until the shop is ready. It
// removes everything when the test ends. Flags are compose's own.
func composeUp(t *testing.T, flags ...string) *containers {
	t.Helper()
	a, b, nats := harness.FreeAddr(t), harness.FreeAddr(t), harness.FreeAddr(t)
	c := &containers{t: t, name: "lonja-test-" + strings.ToLower(filepath.Base(t.Name())) + "-" + strconv.Itoa(os.Getpid()), ids: map[string]string{}, flags: flags, nats: "nats://" + nats}
	c.env = []string{"LONJA_IMAGE=" + c.name, "LONJA_NATS_IMAGE=" + c.name + "-nats", "LONJA_PORT=" + portOf(a), "LONJA_PUBLIC_URL=http://" + a, "LONJA_PORT_B=" + portOf(b), "LONJA_NATS_PORT=" + portOf(nats),
		"LONJA_ADMIN_EMAIL=" + harness.AdminEmail, "LONJA_ADMIN_PASSWORD=" + harness.AdminPassword}
	t.Cleanup(c.down)
	up := []string{"up", "--build", "-d"}
	if hasComposeV2() { // --wait exits with 0 only when every service is healthy
		up = append(up, "--wait")
	}
	c.compose(up...)
	c.gateway = append(c.gateway, harness.At(t, "http://"+a))
	c.inParallel(c.parts(""), c.serves)
	if c.id("gateway-b") != "" {
		c.gateway = append(c.gateway, harness.At(t, "http://"+b))
		c.inParallel(c.parts("-b"), c.serves)
	}
	return c
}

// parts returns the gateway and every service with the suffix.
func (c *containers) parts(suffix string) []string {
	parts := []string{"gateway" + suffix}
	if suffix == "" && c.id("gateway-a") != "" {
		parts[0] = "gateway-a"
	}
	for _, name := range shop.Names() {
		parts = append(parts, name+suffix)
	}
	return parts
}

// compose runs docker compose, or the older docker-compose.
func (c *containers) compose(args ...string) string {
	c.t.Helper()
	out, err := c.tryCompose(c.flags, args...)
	if err != nil {
		c.t.Fatal(err)
	}
	return out
}

func (c *containers) tryCompose(flags []string, args ...string) (string, error) {
	all := append(append([]string{"-p", c.name}, flags...), args...)
	if hasComposeV2() {
		return tryCommand(c.env, "docker", append([]string{"compose"}, all...)...)
	}
	return tryCommand(c.env, "docker-compose", all...)
}

var hasComposeV2 = sync.OnceValue(func() bool { return exec.Command("docker", "compose", "version").Run() == nil })

// down removes everything. If the test has failed, it shows the containers' logs.
func (c *containers) down() {
	all := []string{"--profile", "single", "--profile", "cluster", "--profile", "tools"}
	if c.t.Failed() {
		out, _ := c.tryCompose(all, "logs", "--no-color", "--tail=40")
		c.t.Log(out)
	}
	// The network endpoint of a container that was disconnected can outlive the
	// container for a moment.
	err := harness.TryWithin(30*time.Second, func() error {
		_, err := c.tryCompose(all, "down", "-v", "--remove-orphans", "--timeout=3")
		return err
	})
	if err != nil {
		// Docker 20.10 sometimes counts the endpoint of a container that it has removed, until it is
		// started again.
		if left := c.left(); left != "" {
			c.t.Errorf("%v\nstill there: %s", err, left)
		} else {
			c.t.Logf("an empty network stays: %v", err)
		}
	}
	_ = exec.Command("docker", "image", "rm", c.name, c.name+"-nats").Run()
}

// left returns what is left of containers and volumes, and of networks with something on them.
func (c *containers) left() string {
	mine := "label=com.docker.compose.project=" + c.name
	left := []string{docker(c.t, "ps", "-aq", "--filter", mine), docker(c.t, "volume", "ls", "-q", "--filter", mine)}
	for _, network := range strings.Fields(docker(c.t, "network", "ls", "-q", "--filter", mine)) {
		left = append(left, docker(c.t, "network", "inspect", "--format", "{{range .Containers}}{{.Name}} {{end}}", network))
	}
	return strings.TrimSpace(strings.Join(left, " "))
}

// run runs an operator's command.
func (c *containers) run(args ...string) (string, error) {
	return c.tryCompose(c.flags, append([]string{"run", "--rm", "-T", "lonja"}, args...)...)
}

// id returns the id of a service's container.
func (c *containers) id(service string) string {
	c.t.Helper()
	if _, known := c.ids[service]; !known {
		c.ids[service] = docker(c.t, "ps", "-aq", "--no-trunc", "--filter", "label=com.docker.compose.project="+c.name,
			"--filter", "label=com.docker.compose.service="+service, "--filter", "label=com.docker.compose.oneoff=False")
	}
	return c.ids[service]
}

// serves runs a service's health check at once until it succeeds, without waiting
// for its interval.
func (c *containers) serves(service string) error {
	check, err := tryCommand(nil, "docker", "inspect", "--format", `{{join .Config.Healthcheck.Test " "}}`, c.id(service))
	if err != nil {
		return err
	}
	exec := append([]string{"exec", c.id(service)}, strings.Fields(check)[1:]...)
	return harness.TryWithin(2*time.Minute, func() error {
		_, err := tryCommand(nil, "docker", exec...)
		return err
	})
}

func (c *containers) stop(service string) error {
	_, err := tryCommand(nil, "docker", "stop", c.id(service))
	return err
}

func (c *containers) start(service string) error {
	if _, err := tryCommand(nil, "docker", "start", c.id(service)); err != nil {
		return err
	}
	return c.serves(service)
}

// disconnect takes a container off the shop's network. Its connections are not
// closed; packets are lost.
func (c *containers) disconnect(service string) error {
	_, err := tryCommand(nil, "docker", "network", "disconnect", c.name+"_shop", c.id(service))
	return err
}

// reconnect undoes disconnect for a NATS server.
func (c *containers) reconnect(server string) error {
	if _, err := tryCommand(nil, "docker", "network", "connect", "--alias", "nats", "--alias", server, c.name+"_shop", c.id(server)); err != nil {
		return err
	}
	return c.serves(server)
}

// connectedTo waits until a NATS server is connected to n others.
func (c *containers) connectedTo(n int) func(server string) error {
	const each = 4 // NATS's pool of three, and one for its own account
	want := fmt.Sprintf(`"num_routes": %d,`, each*n)
	return func(server string) error {
		return harness.TryWithin(time.Minute, func() error {
			routes, err := tryCommand(nil, "docker", "exec", c.id(server), "/lonja", "healthcheck", "http://127.0.0.1:8222/routez")
			if err == nil && !strings.Contains(routes, want) {
				err = fmt.Errorf("%s should see %d others, %s but tells\n%s", server, n, want, routes)
			}
			return err
		})
	}
}

// crash kills a container's process like the kernel does, because a restart policy
// ignores docker kill. It waits until the container is restarted and serves.
func (c *containers) crash(service string) error {
	pid, before, err := c.process(service)
	if err != nil {
		return err
	}
	// The engine may run on another machine, where the pid is another process's.
	group, err := os.ReadFile(fmt.Sprintf("/proc/%d/cgroup", pid))
	if err == nil && strings.Contains(string(group), c.id(service)) {
		err = syscall.Kill(pid, syscall.SIGKILL)
	} else {
		err = errors.Join(err, errors.New("it is not of this machine"))
	}
	if err != nil {
		c.t.Logf("%s is killed and started by hand, its process is out of reach: %v", service, err)
		if _, err := tryCommand(nil, "docker", "kill", c.id(service)); err != nil {
			return err
		}
		return c.start(service)
	}
	err = harness.TryWithin(30*time.Second, func() error {
		now, restarts, err := c.process(service)
		if err == nil && (restarts == before || now == 0 || now == pid) {
			err = fmt.Errorf("%s was killed and has not come back: process %d, %s restarts", service, now, restarts)
		}
		return err
	})
	if err != nil {
		return err
	}
	return c.serves(service)
}

// process returns a service's pid, 0 when it does not run, and the number of
// restarts.
func (c *containers) process(service string) (pid int, restarts string, err error) {
	out, err := tryCommand(nil, "docker", "inspect", "--format", "{{.State.Pid}} {{.RestartCount}}", c.id(service))
	if err != nil {
		return 0, "", err
	}
	number, restarts, _ := strings.Cut(out, " ")
	pid, err = strconv.Atoi(number)
	return pid, restarts, err
}

// inParallel calls do for several containers at once.
func (c *containers) inParallel(services []string, do func(service string) error) {
	c.t.Helper()
	failed := make(chan error, len(services))
	for _, service := range services {
		c.id(service) // fill the cache before it is read concurrently
	}
	for _, service := range services {
		go func() { failed <- do(service) }()
	}
	var all error
	for range services {
		all = errors.Join(all, <-failed)
	}
	if all != nil {
		c.t.Fatal(all)
	}
}

func portOf(addr string) string { return addr[strings.LastIndexByte(addr, ':')+1:] }
