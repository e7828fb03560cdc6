package harness

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"net"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"lonja/kit/natsembed"
)

// Process is the program, running.
type Process struct {
	T      *testing.T
	Cmd    *exec.Cmd
	Said   map[string]string // each line that it printed before it was ready: first word -> rest
	Exited chan struct{}     // closed once the process has ended

	mu     sync.Mutex
	stderr bytes.Buffer
}

// Start runs the program and waits until it prints a line that begins with
// "ready", for 20 seconds at most. The process is killed when the test ends, if
// not before.
func Start(t *testing.T, args ...string) *Process {
	t.Helper()
	p := &Process{T: t, Cmd: Command(t, args...), Said: map[string]string{}, Exited: make(chan struct{})}
	p.Cmd.Stderr = writerFunc(func(b []byte) (int, error) {
		p.mu.Lock()
		defer p.mu.Unlock()
		return p.stderr.Write(b)
	})
	stdout, err := p.Cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Kill)
	lines := make(chan string)
	go func() {
		scanner := bufio.NewScanner(stdout)
		for scanner.Scan() {
			lines <- scanner.Text()
		}
		close(lines)
		_ = p.Cmd.Wait()
		close(p.Exited)
	}()
	defer func() {
		go func() {
			for range lines { // what else it prints must not block it
			}
		}()
	}()
	deadline := time.After(20 * time.Second)
	for {
		select {
		case line, ok := <-lines:
			if !ok {
				<-p.Exited
				t.Fatalf("lonja %s ended before it was ready:\n%s", strings.Join(args, " "), p.Stderr())
			}
			word, rest, _ := strings.Cut(line, " ")
			p.Said[strings.TrimSuffix(word, ":")] = strings.TrimSpace(rest)
			if strings.HasPrefix(line, "ready") {
				return p
			}
		case <-deadline:
			t.Fatalf("lonja %s was not ready in time:\n%s", strings.Join(args, " "), p.Stderr())
		}
	}
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(b []byte) (int, error) { return f(b) }

// Stderr returns what the program has written to standard error so far.
func (p *Process) Stderr() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.stderr.String()
}

// Kill ends the process at once, as a crash would, and waits for its end.
func (p *Process) Kill() {
	_ = p.Cmd.Process.Kill()
	<-p.Exited
}

// Stop asks the program to end, and fails the test unless it ends within 5 seconds
// with exit code 0.
func (p *Process) Stop() {
	p.T.Helper()
	began := time.Now()
	if err := p.Cmd.Process.Signal(syscall.SIGTERM); err != nil {
		p.T.Fatal(err)
	}
	select {
	case <-p.Exited:
	case <-time.After(5 * time.Second):
		p.T.Fatalf("still running 5 s after SIGTERM:\n%s", p.Stderr())
	}
	if code := p.Cmd.ProcessState.ExitCode(); code != 0 {
		p.T.Fatalf("exit code %d after %v:\n%s", code, time.Since(began), p.Stderr())
	}
}

// Run runs the program to its end and returns its output, standard error included.
// It fails the test unless the exit code is 0.
func Run(t *testing.T, args ...string) string {
	t.Helper()
	out, err := Command(t, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("lonja %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return string(out)
}

// Ends runs the program in a folder, to its end, and returns its exit code and its
// output. It fails the test unless the program ends by itself within 15 seconds,
// which is less than it used to wait for a server that does not start.
func Ends(t *testing.T, dir string, args ...string) (code int, said string) {
	t.Helper()
	program := Program(t)
	ctx, cancel := context.WithTimeout(t.Context(), 15*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Dir = dir
	out, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) || ctx.Err() != nil {
		t.Fatalf("lonja %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return cmd.ProcessState.ExitCode(), string(out)
}

// GatewayOn returns the arguments for a gateway at an address, with the sandbox.
func GatewayOn(addr string) []string {
	return []string{"gateway", "--http", addr, "--public-url", "http://" + addr, "--sandbox"}
}

// ServicesOn returns the arguments for services in one process, with their views in
// data. Identity among them makes the administrator that [Shop.Boss] logs in.
func ServicesOn(data string, names ...string) []string {
	return append([]string{"service", "--data", data, "--kek-file", kekFile, "--admin-email", AdminEmail, "--admin-password", AdminPassword}, names...)
}

// FreeAddr returns an address on loopback with a port that is free at the moment.
func FreeAddr(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// StartNATS starts one NATS server that lets everybody in, and returns its URL. It
// has no streams, and stops when the test ends. For servers with keys, or a
// cluster, see [StartServers].
func StartNATS(t *testing.T) string {
	t.Helper()
	b, err := natsembed.Start(natsembed.Config{Dir: t.TempDir(), Addr: "127.0.0.1:0", SyncAlways: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Stop)
	return b.URL()
}
