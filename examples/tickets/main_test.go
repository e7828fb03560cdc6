package main

import (
	"bufio"
	"io"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"github.com/nats-io/nats.go"

	"tickets/shows"

	"lonja/kit/bus"
	"lonja/kit/eventlog"
)

// TestMain runs the program itself in the processes that the tests start.
func TestMain(m *testing.M) {
	if os.Getenv("TICKETS_MAIN") != "" {
		main()
		return
	}
	os.Exit(m.Run())
}

// process is a running program.
type process struct {
	t          *testing.T
	cmd        *exec.Cmd
	nats, http string // where it listens
}

// launch starts the program and returns when it is ready.
func launch(t *testing.T, args ...string) *process {
	t.Helper()
	cmd := exec.Command(os.Args[0], args...)
	cmd.Env, cmd.Stderr = append(os.Environ(), "TICKETS_MAIN=1"), t.Output()
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	line, err := bufio.NewReader(out).ReadString('\n')
	said := strings.Fields(line)
	if err != nil || len(said) != 3 || said[0] != "ready" {
		t.Fatalf("it prints %q, %v", line, err)
	}
	return &process{t, cmd, said[1], said[2]}
}

// ends sends a signal and waits for the exit code, which is -1 when the signal has killed it.
func (p *process) ends(signal os.Signal) int {
	p.t.Helper()
	if err := p.cmd.Process.Signal(signal); err != nil {
		p.t.Fatal(err)
	}
	_ = p.cmd.Wait() // the exit code tells
	return p.cmd.ProcessState.ExitCode()
}

func (p *process) client() *bus.Client {
	p.t.Helper()
	conn, err := nats.Connect(p.nats)
	if err != nil {
		p.t.Fatal(err)
	}
	p.t.Cleanup(conn.Close)
	return bus.NewClient(conn)
}

// buys posts to the route of a seat and checks the status. It returns the response and its body.
func (p *process) buys(path, body, key string, status int) (*http.Response, string) {
	p.t.Helper()
	req, err := http.NewRequestWithContext(p.t.Context(), "POST", p.http+path, strings.NewReader(body))
	if err != nil {
		p.t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	if key != "" {
		req.Header.Set("Idempotency-Key", key)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		p.t.Fatal(err)
	}
	defer resp.Body.Close()
	said, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != status {
		p.t.Errorf("%s %s: got %d, want %d: %s %v", path, body, resp.StatusCode, status, said, err)
	}
	return resp, string(said)
}

func TestTwoReplicas_SellEachSeatOnceOverHTTPThroughCrashAndStop(t *testing.T) {
	data := t.TempDir()
	a := launch(t, "-data", data, "-nats", "127.0.0.1:0", "-http", "127.0.0.1:0")
	b := launch(t, "-data", data, "-replica", "b", "-join", a.nats, "-http", "127.0.0.1:0")
	if _, err := a.client().Send(t.Context(), shows.Schedule{ShowID: "jazz", Title: "Jazz night", Seats: 2}, eventlog.Envelope{}); err != nil {
		t.Fatal(err)
	}

	const seat = "/api/shows/jazz/seats/1"
	first, _ := a.buys(seat, `{"buyer":"ana"}`, "k1", http.StatusNoContent)
	if got := first.Header.Get("Consistency-Token"); got != "SHOWS:2" {
		t.Errorf("Consistency-Token %q", got)
	}
	if again, _ := b.buys(seat, `{"buyer":"ana"}`, "k1", http.StatusNoContent); again.Header.Get("Idempotent-Replayed") != "true" {
		t.Errorf("the same request at another replica: %v", again.Header)
	}
	if _, problem := b.buys(seat, `{"buyer":"bo"}`, "k2", http.StatusConflict); !strings.Contains(problem, "seat 1 of show jazz is sold") {
		t.Errorf("it says %s", problem)
	}
	b.buys("/api/shows/rock/seats/1", `{"buyer":"bo"}`, "", http.StatusNotFound)
	if _, problem := b.buys(seat, `{"buyer":""}`, "", http.StatusUnprocessableEntity); !strings.Contains(problem, `"field":"buyer"`) {
		t.Errorf("it says %s", problem)
	}

	if code := a.ends(syscall.SIGKILL); code != -1 {
		t.Fatalf("killed with exit code %d", code)
	}
	a = launch(t, "-data", data, "-nats", strings.TrimPrefix(a.nats, "nats://"), "-http", "127.0.0.1:0")
	if again, _ := a.buys(seat, `{"buyer":"ana"}`, "k1", http.StatusNoContent); again.Header.Get("Idempotent-Replayed") != "true" {
		t.Errorf("the same request after a crash: %v", again.Header)
	}
	body, err := a.client().Query(t.Context(), shows.Show{ShowID: "jazz"}, eventlog.Envelope{After: "SHOWS:2"})
	if want := `{"show_id":"jazz","title":"Jazz night","seats":2,"sold":1}`; err != nil || string(body) != want {
		t.Errorf("got %s, %v, want %s", body, err, want)
	}
	if code := b.ends(syscall.SIGINT); code != 0 {
		t.Errorf("b ends with exit code %d", code)
	}
	if code := a.ends(syscall.SIGINT); code != 0 {
		t.Errorf("a ends with exit code %d", code)
	}
}

func TestASecondProcessOfOneName_EndsAndSaysWhy(t *testing.T) {
	data := t.TempDir()
	launch(t, "-data", data, "-nats", "127.0.0.1:0", "-http", "127.0.0.1:0")
	cmd := exec.Command(os.Args[0], "-data", data, "-nats", "127.0.0.1:0", "-http", "127.0.0.1:0")
	cmd.Env = append(os.Environ(), "TICKETS_MAIN=1")
	said, err := cmd.CombinedOutput()
	if err == nil || !strings.Contains(string(said), "in use by another process") {
		t.Errorf("it ends with %v and says %s", err, said)
	}
}
