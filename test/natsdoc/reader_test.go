package natsdoc

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"lonja/test/harness"
)

// soon bounds how long anything that the page shows may take to be there.
const soon = 30 * time.Second

// reader is somebody who types the page: in one shell, with a shop in a terminal of its
// own, and perhaps with more that goes on in others.
type reader struct {
	t       *testing.T
	dir     string // in it are bin/, and data for /tmp/lonja-nats
	in      io.Writer
	out     chan string // its lines
	shop    *terminal
	said    map[string]string // what lonja up printed: first word -> the next one
	watched []*terminal
}

// newReader opens the shell, at the top of the repository. The reader's own settings of
// the CLI and of lonja are kept out of it.
func newReader(t *testing.T) *reader {
	t.Helper()
	r := &reader{t: t, dir: t.TempDir(), said: map[string]string{}}
	shell := r.command("sh")
	stdin, err := shell.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := shell.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	shell.Stderr = shell.Stdout
	if err := shell.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = syscall.Kill(-shell.Process.Pid, syscall.SIGKILL)
		_ = shell.Wait()
	})
	r.in, r.out = stdin, make(chan string, 1000)
	go func() {
		defer close(r.out)
		for lines := bufio.NewReader(stdout); ; {
			line, err := lines.ReadString('\n')
			if err != nil {
				return
			}
			r.out <- line
		}
	}()
	return r
}

func (r *reader) command(name string, args ...string) *exec.Cmd {
	cmd := exec.Command(name, args...)
	cmd.Dir = harness.Root(r.t)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	for _, e := range os.Environ() {
		if !strings.HasPrefix(e, "NATS_") && !strings.HasPrefix(e, "LONJA_") && !strings.HasPrefix(e, "PATH=") {
			cmd.Env = append(cmd.Env, e)
		}
	}
	cmd.Env = append(cmd.Env, "XDG_CONFIG_HOME="+r.dir, "NATS_URL="+r.said["nats"], "LONJA_NATS="+r.said["nats"],
		"PATH="+r.bin()+string(os.PathListSeparator)+os.Getenv("PATH"))
	return cmd
}

func (r *reader) bin() string  { return filepath.Join(r.dir, "bin") }
func (r *reader) data() string { return filepath.Join(r.dir, "data") }
func (r *reader) log() string  { return filepath.Join(r.dir, "shop.log") }

func (r *reader) logged() string {
	log, err := os.ReadFile(r.log())
	if err != nil {
		return err.Error()
	}
	return string(log)
}

// here is a line of the page with this test's folders.
func (r *reader) here(line string) string {
	return strings.NewReplacer("-o bin/", "-o "+r.bin()+"/", "$PWD/bin", r.bin(), "/tmp/lonja-nats", r.data()).Replace(line)
}

// there is an output of this test with the page's folders and addresses.
func (r *reader) there(output string) string {
	output = strings.ReplaceAll(output, r.data(), "/tmp/lonja-nats")
	for here, there := range map[string]string{r.said["nats"]: "nats://127.0.0.1:4222", r.said["shop"]: "http://127.0.0.1:8080"} {
		if here != "" {
			output = strings.ReplaceAll(output, here, there)
		}
	}
	return output
}

// run types a line and compares what comes of it with what the page shows.
func (r *reader) run(c typed) {
	r.t.Helper()
	for deadline := time.Now().Add(soon); ; {
		got, code := r.typeLine(c.line)
		if ok := matches(c.shown, got) && (code == 0) == !mayFail(c.shown); ok {
			return
		} else if !looks.MatchString(c.line) || time.Now().After(deadline) {
			r.t.Errorf("docs/nats.md:%d: %s\nends with %d and prints\n%s\nThe page shows\n%s\nThe log of the shop is\n%s", c.at, c.line, code, got, c.shown, r.logged())
			return
		}
	}
}

// typeLine is one line in the shell: what it prints, and its exit code.
func (r *reader) typeLine(line string) (output string, code int) {
	r.t.Helper()
	const end = "--- the line has ended with "
	fmt.Fprintf(r.in, "{ %s\n} </dev/null\nprintf '\\n%s%%d\\n' $?\n", r.here(line), end)
	late := time.After(soon)
	if strings.HasPrefix(line, "go build ") {
		late = time.After(10 * time.Minute) // when nothing of it is in Go's cache
	}
	for {
		select {
		case said, open := <-r.out:
			if !open {
				r.t.Fatalf("%s: the shell has ended:\n%s", line, output)
			}
			if _, err := fmt.Sscanf(said, end+"%d", &code); err == nil {
				return r.there(output), code
			}
			if !strings.HasPrefix(said, "go: downloading ") { // the first build on a machine
				output += said
			}
		case <-late:
			r.t.Fatalf("%s does not end:\n%s", line, output)
		}
	}
}

// startShop is lonja up in a terminal of its own, on ports that are free. The shop that
// ran before is stopped, as the page says.
func (r *reader) startShop(c typed) {
	r.t.Helper()
	if r.shop != nil {
		r.checkWatched()
		r.shop.interrupt(r.t)
		r.said = map[string]string{}
	}
	r.shop = r.open("exec " + r.here(c.line) + " --http 127.0.0.1:0 --nats 127.0.0.1:0 2>>" + r.log())
	r.shop.await(r.t, "ready ", func(output string) bool { return regexp.MustCompile(`(?m)^ready .*\n`).MatchString(output) })
	for line := range strings.Lines(r.shop.text()) {
		if fields := strings.Fields(line); len(fields) > 1 {
			r.said[fields[0]] = fields[1]
		}
	}
	if got := r.there(r.shop.text()); !matches(c.shown, got) {
		r.t.Errorf("docs/nats.md:%d: %s\nprints\n%s\nThe page shows\n%s", c.at, c.line, got, c.shown)
	}
	r.typeLine("export NATS_URL=" + r.said["nats"] + " LONJA_NATS=" + r.said["nats"])
}

// watch types a line in another terminal, where it goes on. It returns once the server
// knows the subscription: then `nats trace`, which delivers and stores nothing, finds it.
func (r *reader) watch(c typed) {
	r.t.Helper()
	subject := regexp.MustCompile(`^nats sub '([^']+)'$`).FindStringSubmatch(c.line)
	if subject == nil {
		r.t.Fatalf("docs/nats.md:%d: %s: only nats sub 'SUBJECT' can be watched", c.at, c.line)
	}
	w := r.open("exec " + r.here(c.line))
	w.typed = c
	r.watched = append(r.watched, w)
	for deadline := time.Now().Add(soon); ; {
		out, err := r.command(filepath.Join(r.bin(), "nats"), "trace", strings.ReplaceAll(subject[1], "*", "nothing")).CombinedOutput()
		if strings.Contains(string(out), "--C Client") {
			return
		}
		if time.Now().After(deadline) {
			r.t.Fatalf("docs/nats.md:%d: %s is not heard of: %v\n%s\n%s", c.at, c.line, err, out, w.text())
		}
	}
}

// checkWatched compares what the other terminals have shown meanwhile, and closes them.
func (r *reader) checkWatched() {
	r.t.Helper()
	for _, w := range r.watched {
		w.await(r.t, fmt.Sprintf("what docs/nats.md:%d shows:\n%s", w.typed.at, w.typed.shown),
			func(output string) bool { return matches(w.typed.shown, r.there(output)) })
		w.interrupt(r.t)
	}
	r.watched = nil
}

// terminal is one in which a line goes on.
type terminal struct {
	typed
	cmd   *exec.Cmd
	mu    sync.Mutex
	said  bytes.Buffer
	more  chan struct{} // has an element when there is more to read
	ended chan struct{}
}

func (r *reader) open(line string) *terminal {
	r.t.Helper()
	term := &terminal{cmd: r.command("sh", "-c", line), more: make(chan struct{}, 1), ended: make(chan struct{})}
	term.cmd.Stdout, term.cmd.Stderr = term, term
	if err := term.cmd.Start(); err != nil {
		r.t.Fatal(err)
	}
	go func() {
		_ = term.cmd.Wait()
		close(term.ended)
	}()
	r.t.Cleanup(func() {
		_ = term.cmd.Process.Kill()
		<-term.ended
	})
	return term
}

// Write takes what the line prints.
func (term *terminal) Write(b []byte) (int, error) {
	term.mu.Lock()
	defer term.mu.Unlock()
	select {
	case term.more <- struct{}{}:
	default:
	}
	return term.said.Write(b)
}

func (term *terminal) text() string {
	term.mu.Lock()
	defer term.mu.Unlock()
	return term.said.String()
}

func (term *terminal) await(t *testing.T, what string, there func(output string) bool) {
	t.Helper()
	for late := time.After(soon); !there(term.text()); {
		select {
		case <-term.more:
		case <-term.ended:
			if !there(term.text()) {
				t.Fatalf("it ended without %s\nIt prints\n%s", what, term.text())
			}
		case <-late:
			t.Fatalf("it does not print %s\nbut\n%s", what, term.text())
		}
	}
}

// interrupt is Ctrl-C.
func (term *terminal) interrupt(t *testing.T) {
	t.Helper()
	_ = term.cmd.Process.Signal(os.Interrupt)
	select {
	case <-term.ended:
	case <-time.After(soon):
		t.Fatalf("%s does not stop:\n%s", term.cmd, term.text())
	}
}
