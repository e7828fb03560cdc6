package lifecycle

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"lonja/test/harness"
)

// The program exits with an error that names the resource that it cannot use.
func TestUp_ReportsWhatItCannotUse(t *testing.T) {
	for name, c := range map[string]struct {
		prepare   func(t *testing.T, data string)
		limit     string // what the shell does first
		awaitLine []string
	}{
		"open files":               {limit: "ulimit -n 64", awaitLine: []string{"64 open files", "512"}},
		"data is a file":           {prepare: file(""), awaitLine: []string{"nats cannot be used", "not a directory"}},
		"the store is a file":      {prepare: file("nats"), awaitLine: []string{"nats cannot be used", "not a directory"}},
		"JetStream's is a file":    {prepare: file("nats/jetstream"), awaitLine: []string{"nats/jetstream is not a folder"}},
		"a service's is a file":    {prepare: file("orders"), awaitLine: []string{"orders/a cannot be used", "not a directory"}},
		"a replica's is a file":    {prepare: file("payments/a"), awaitLine: []string{"payments/a cannot be used", "not a directory"}},
		"a lock is a folder":       {prepare: file("catalog/a/.lock/x"), awaitLine: []string{"catalog/a cannot be used", "is a directory"}},
		"the store's is a folder":  {prepare: file("nats/.lock/x"), awaitLine: []string{"nats cannot be used", "is a directory"}},
		"a stream's is no stream":  {prepare: file("nats/jetstream/$G/streams/ORDERS/msgs/1.blk"), awaitLine: []string{"stream ORDERS", "cannot be opened"}},
		"a stream's block is none": {prepare: file("nats/jetstream/$G/streams/ORDERS/msgs/1.blk/x"), awaitLine: []string{"ORDERS/msgs/1.blk is not a file"}},
	} {
		t.Run(name, func(t *testing.T) {
			data := filepath.Join(t.TempDir(), "data")
			if c.prepare != nil {
				c.prepare(t, data)
			}
			limit := c.limit
			if limit == "" {
				limit = "true"
			}
			up := exec.Command("sh", "-c", limit+` && exec "$@"`, "sh", harness.Program(t), "up", "--data", data, "--http", "127.0.0.1:0", "--nats", "127.0.0.1:0")
			var said strings.Builder
			up.Stderr = &said
			if err := up.Start(); err != nil {
				t.Fatal(err)
			}
			ended := make(chan error, 1)
			go func() { ended <- up.Wait() }()
			var err error
			select {
			case err = <-ended:
			case <-time.After(30 * time.Second):
				_ = up.Process.Kill()
				<-ended
				t.Fatalf("it does not end:\n%s", &said)
			}
			var exit *exec.ExitError
			if !errors.As(err, &exit) || exit.ExitCode() != 1 {
				t.Errorf("ended with %v", err)
			}
			for _, words := range c.awaitLine {
				if !strings.Contains(said.String(), words) {
					t.Errorf("it does not say %q:\n%s", words, &said)
				}
			}
		})
	}
}

func TestUp_TwoProcessesDoNotShareAFolder(t *testing.T) {
	data := t.TempDir()
	p, _ := harness.Up(t, "--data", data)
	out, err := harness.Command(t, "up", "--data", data, "--http", "127.0.0.1:0", "--nats", "127.0.0.1:0").CombinedOutput()
	if err == nil || !strings.Contains(string(out), "in use by another process") {
		t.Fatalf("a second one started: %v\n%s", err, out)
	}
	p.Stop()
}

// file creates a file in the data folder.
func file(at string) func(*testing.T, string) {
	return func(t *testing.T, data string) {
		path := filepath.Join(data, at)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o750), os.WriteFile(path, []byte("somebody's"), 0o600)); err != nil {
			t.Fatal(err)
		}
	}
}

// A file that was made anew would look like the right one, and open nothing.
func TestUp_NeedsTheKeyEncryptionKeysOfItsData(t *testing.T) {
	data := t.TempDir()
	p, _ := harness.Up(t, "--data", data)
	p.Stop()
	start := func() string {
		out, err := harness.Command(t, "up", "--data", data, "--http", "127.0.0.1:0", "--nats", "127.0.0.1:0").CombinedOutput()
		if err == nil {
			t.Fatalf("it started:\n%s", out)
		}
		return string(out)
	}
	file := filepath.Join(data, "kek")
	if err := os.Rename(file, file+".away"); err != nil {
		t.Fatal(err)
	}
	if said := start(); !strings.Contains(said, "there is no "+file) || !strings.Contains(said, "put the file back from its backup") {
		t.Errorf("without the file it says:\n%s", said)
	}
	if _, err := os.Stat(file); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("it made another file: %v", err)
	}
	harness.Run(t, "keys", "create", "--kek-file", file)
	if said := start(); !strings.Contains(said, "the key-encryption key is missing: "+file+" has no key") {
		t.Errorf("with another file it says:\n%s", said)
	}
	if err := os.Rename(file+".away", file); err != nil {
		t.Fatal(err)
	}
	p, _ = harness.Up(t, "--data", data)
	p.Stop()
}
