package main

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"lonja/kit/natsembed"
)

// binary is the real program, built once for all tests of this package.
var binary string

func TestMain(m *testing.M) {
	os.Exit(func() int {
		dir, err := os.MkdirTemp("", "lonja-test")
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		defer os.RemoveAll(dir)
		binary = filepath.Join(dir, "lonja")
		if out, err := exec.Command("go", "build", "-o", binary, ".").CombinedOutput(); err != nil {
			fmt.Fprintf(os.Stderr, "go build: %v\n%s", err, out)
			return 1
		}
		return m.Run()
	}())
}

// process is the program running.
type process struct {
	t      *testing.T
	cmd    *exec.Cmd
	said   map[string]string // what it printed before ready: first word -> rest
	exited chan struct{}
	mu     sync.Mutex
	stderr bytes.Buffer
}

// start runs the program and waits until it prints a line that begins with
// "ready". It is killed at the latest when the test ends.
func start(t *testing.T, args ...string) *process {
	t.Helper()
	p := &process{t: t, cmd: exec.Command(binary, args...), said: map[string]string{}, exited: make(chan struct{})}
	p.cmd.Stderr = writerFunc(func(b []byte) (int, error) {
		p.mu.Lock()
		defer p.mu.Unlock()
		return p.stderr.Write(b)
	})
	stdout, err := p.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.kill)
	lines := make(chan string)
	go func() {
		scanner := bufio.NewScanner(stdout)
		for scanner.Scan() {
			lines <- scanner.Text()
		}
		close(lines)
		_ = p.cmd.Wait()
		close(p.exited)
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
				<-p.exited
				t.Fatalf("lonja %s ended before it was ready:\n%s", strings.Join(args, " "), p.errors())
			}
			word, rest, _ := strings.Cut(line, " ")
			p.said[strings.TrimSuffix(word, ":")] = strings.TrimSpace(rest)
			if strings.HasPrefix(line, "ready") {
				return p
			}
		case <-deadline:
			t.Fatalf("lonja %s was not ready in time:\n%s", strings.Join(args, " "), p.errors())
		}
	}
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(b []byte) (int, error) { return f(b) }

var _ io.Writer = writerFunc(nil)

// errors is what the program wrote to standard error.
func (p *process) errors() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.stderr.String()
}

// kill ends the program at once, as a crash would.
func (p *process) kill() {
	_ = p.cmd.Process.Kill()
	<-p.exited
}

// stop asks the program to end and fails the test unless it does so, with exit
// code 0, within 5 seconds.
func (p *process) stop() {
	p.t.Helper()
	began := time.Now()
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		p.t.Fatal(err)
	}
	select {
	case <-p.exited:
	case <-time.After(5 * time.Second):
		p.t.Fatalf("still running 5 s after SIGTERM:\n%s", p.errors())
	}
	if code := p.cmd.ProcessState.ExitCode(); code != 0 {
		p.t.Fatalf("exit code %d after %v:\n%s", code, time.Since(began), p.errors())
	}
}

// runOnce runs the program to its end and fails the test unless it succeeds.
func runOnce(t *testing.T, args ...string) string {
	t.Helper()
	out, err := exec.Command(binary, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("lonja %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return string(out)
}

// startNATS starts a NATS server for separate processes and returns its URL.
func startNATS(t *testing.T) string {
	t.Helper()
	b, err := natsembed.Start(natsembed.Config{Dir: t.TempDir(), Addr: "127.0.0.1:0", SyncAlways: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Stop)
	return b.URL()
}
