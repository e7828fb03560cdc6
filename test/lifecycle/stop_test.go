package lifecycle

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"lonja/kit/service"
	"lonja/shop"
	"lonja/test/harness"
)

// interruptedCode is the exit code of a command that was interrupted before it was
// done, as in shells.
const interruptedCode = 130

// start starts the program. Out is its standard output and standard error.
func start(t *testing.T, args ...string) (cmd *exec.Cmd, out *bufio.Reader) {
	t.Helper()
	cmd = harness.Command(t, args...)
	pipe, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stderr = cmd.Stdout
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill() })
	return cmd, bufio.NewReader(pipe)
}

// awaitLine waits for a line of output that begins with start.
func awaitLine(t *testing.T, out *bufio.Reader, start string) {
	t.Helper()
	for line := ""; !strings.HasPrefix(line, start); {
		var err error
		if line, err = out.ReadString('\n'); err != nil {
			t.Fatalf("it never says %q: %v", start, err)
		}
	}
}

// interrupt sends SIGINT and waits for the exit.
func interrupt(t *testing.T, cmd *exec.Cmd, out io.Reader) (code int, said string) {
	t.Helper()
	if err := cmd.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	stuck := time.AfterFunc(20*time.Second, func() { _ = cmd.Process.Kill() })
	defer stuck.Stop()
	rest, _ := io.ReadAll(out)
	_ = cmd.Wait()
	return cmd.ProcessState.ExitCode(), string(rest)
}

// TestStop_IsSilentAtEveryStageOfTheStart interrupts up at every stage of its start.
func TestStop_IsSilentAtEveryStageOfTheStart(t *testing.T) {
	stages := []string{"the folder is taken", "the NATS server opens its store", "data ", "nats ", "shop ", "ready "}
	for _, stage := range stages {
		for range 3 { // the stages are short, so repetitions hit different moments
			data := t.TempDir()
			cmd, out := start(t, "up", "--data", data, "--http", "127.0.0.1:0", "--nats", "127.0.0.1:0", "--admin-password", harness.AdminPassword)
			switch stage {
			case stages[0]:
				harness.Eventually(t, exists(filepath.Join(data, "nats", ".lock")))
			case stages[1]:
				harness.Eventually(t, exists(filepath.Join(data, "nats", "jetstream")))
			default:
				awaitLine(t, out, stage)
			}
			code, said := interrupt(t, cmd, out)
			for line := range strings.Lines(said) {
				if word, _, _ := strings.Cut(line, " "); !slices.Contains([]string{"data", "nats", "kek", "shop", "docs", "ready"}, word) {
					t.Errorf("%s: it says %q", stage, line)
				}
			}
			if code != 0 {
				t.Errorf("%s: exit code %d", stage, code)
			}
		}
	}
}

func exists(path string) func() error {
	return func() error { _, err := os.Stat(path); return err }
}

// Services and gateways that wait for NATS log that, and still stop cleanly.
func TestStop_IsCleanWithoutNATS(t *testing.T) {
	away := "nats://" + harness.FreeAddr(t)
	for _, args := range [][]string{
		append([]string{"service", "--nats", away, "--data", t.TempDir(), "--http", "127.0.0.1:0", "--kek-file", harness.KEKFile()}, shop.Names()...),
		{"gateway", "--nats", away, "--http", "127.0.0.1:0", "--public-url", "https://shop.example", "--drain", "0s"},
	} {
		cmd, out := start(t, args...)
		awaitLine(t, out, "time=") // that it waits
		if code, said := interrupt(t, cmd, out); code != 0 || strings.Contains(said, "lonja:") {
			t.Errorf("%s: exit code %d\n%s", args[0], code, said)
		}
	}
}

// A command that is interrupted exits with an error: it has not done its work.
func TestStop_AnInterruptedCommandFails(t *testing.T) {
	nc, err := nats.Connect(harness.StartNATS(t))
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	asked := make(chan struct{}, 1)
	replica := func(m *nats.Msg) { // a rebuild that never ends
		going, _ := json.Marshal(service.RebuildStatus{Service: "orders", Replica: "a", View: "orders", Status: service.RebuildRunning})
		_ = m.Respond(going)
		asked <- struct{}{}
	}
	if _, err := nc.Subscribe("rebuild.orders", replica); err != nil {
		t.Fatal(err)
	}
	if err := nc.Flush(); err != nil {
		t.Fatal(err)
	}
	cmd, out := start(t, "rebuild", "orders", "--nats", nc.ConnectedUrl())
	<-asked
	if code, said := interrupt(t, cmd, out); code != interruptedCode || !strings.Contains(said, "rebuilds that have started go on") {
		t.Errorf("rebuild: exit code %d, %q", code, said)
	}
	cmd, out = start(t, "streams", "apply", "--wait", "10m", "--nats", "nats://"+harness.FreeAddr(t))
	awaitLine(t, out, "waiting:")
	if code, said := interrupt(t, cmd, out); code != interruptedCode {
		t.Errorf("streams apply: exit code %d, %q", code, said)
	}
}

// The second interrupt does not wait for the drain.
func TestStop_ASecondInterruptEndsAtOnce(t *testing.T) {
	addr := harness.FreeAddr(t)
	cmd, out := start(t, append(harness.GatewayOn(addr), "--nats", harness.StartNATS(t), "--drain", "10m")...)
	answers := func(status int) func() error {
		return func() error {
			if got := harness.StatusOf("http://" + addr + "/readyz/gateway"); got != status {
				return fmt.Errorf("it answers %d, not %d", got, status)
			}
			return nil
		}
	}
	harness.Within(t, 20*time.Second, answers(200))
	if err := cmd.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	harness.Within(t, 20*time.Second, answers(503)) // it drains
	interrupt(t, cmd, out)
	if by := cmd.ProcessState.Sys().(syscall.WaitStatus); !by.Signaled() || by.Signal() != syscall.SIGINT {
		t.Errorf("it ended with %v", cmd.ProcessState)
	}
}

// A terminal's Ctrl-C reaches task too. It must not report a clean stop as a failure.
func TestStop_TaskUpSucceeds(t *testing.T) {
	cmd := exec.Command(harness.Root(t)+"/task", "up", "--", "--data", t.TempDir(), "--http", "127.0.0.1:0", "--nats", "127.0.0.1:0")
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	pipe, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	group := -cmd.Process.Pid
	t.Cleanup(func() { _ = syscall.Kill(group, syscall.SIGKILL) })
	out := bufio.NewReader(pipe)
	awaitLine(t, out, "ready ")
	if err := syscall.Kill(group, syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	stuck := time.AfterFunc(20*time.Second, func() { _ = syscall.Kill(group, syscall.SIGKILL) })
	defer stuck.Stop()
	_, _ = io.Copy(io.Discard, out)
	if err := cmd.Wait(); err != nil {
		t.Errorf("task up: %v", err)
	}
}
