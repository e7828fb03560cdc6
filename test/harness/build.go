// Package harness runs the real program for the end-to-end tests: all of it in one
// process ([Up]), each part as a process of its own ([Start]) against one NATS
// server ([StartNATS]) or a cluster with keys ([StartServers]). A [Shop] is what
// people see of it over HTTP, and [Story] is a shop's whole life. Ports are free
// ones, folders are the test's, and every process ends with its test.
package harness

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"lonja/kit/keyring"
)

// Main builds the program, runs the tests of a package, and removes what was built
// for them. Each package that runs the program calls it in its TestMain: so no
// test's time is spent on building.
func Main(m *testing.M) {
	os.Exit(func() int {
		dir, err := os.MkdirTemp("", "lonja-test")
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		defer os.RemoveAll(dir)
		if program, err = build(dir, "lonja", "lonja/cmd/lonja"); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		kekFile = filepath.Join(dir, "kek")
		if _, err := keyring.CreateKEKs(kekFile); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		return m.Run()
	}())
}

// program is the path of the real program, "" when Main was not called.
var program string

// kekFile is the file of the key-encryption keys of all services that are processes of their
// own.
var kekFile string

// KEKFile returns the file of the key-encryption keys of all services that are processes of
// their own; see [ServicesOn]. A process of up makes a file of its own.
func KEKFile() string { return kekFile }

// buildServer builds the NATS server that go.mod names, when it is first needed.
var buildServer = sync.OnceValues(func() (string, error) {
	return build(filepath.Dir(program), "nats-server", "github.com/nats-io/nats-server/v2")
})

func build(dir, name, pkg string) (path string, err error) {
	path = filepath.Join(dir, name)
	if out, err := exec.Command("go", "build", "-o", path, pkg).CombinedOutput(); err != nil {
		return "", fmt.Errorf("go build %s: %w\n%s", pkg, err, out)
	}
	return path, nil
}

// lookAtSources looks at each file of this module that the program is built from.
// go test repeats a cached result until a file changes that the test itself looked
// at; it does not see what a child process reads. Without this, the end-to-end
// tests would stay cached when the gateway changes. It only counts while tests run,
// so Main is too early for it.
var lookAtSources = sync.OnceValue(func() error {
	const files = `{{with .Module}}{{if .Main}}{{.GoMod}}
{{$.Dir}}
{{range $.GoFiles}}{{$.Dir}}/{{.}}
{{end}}{{range $.EmbedFiles}}{{$.Dir}}/{{.}}
{{end}}{{end}}{{end}}`
	out, err := exec.Command("go", "list", "-deps", "-f", files, "lonja/cmd/lonja").Output()
	if err != nil {
		return fmt.Errorf("go list: %w", err)
	}
	for path := range strings.Lines(string(out)) {
		if path = strings.TrimSpace(path); path == "" {
			continue
		}
		if _, err := os.Stat(path); err != nil {
			return err
		}
	}
	return nil
})

// DependOnSources makes a test that builds the program itself run again when the program
// has changed; see lookAtSources. [Program] does so, too.
func DependOnSources(t testing.TB) {
	t.Helper()
	if err := lookAtSources(); err != nil {
		t.Fatal(err)
	}
}

// Program returns the path of the real program. It fails the test when the package
// does not call [Main].
func Program(t testing.TB) string {
	t.Helper()
	if program == "" {
		t.Fatal("there is no program: TestMain of this package should call harness.Main")
	}
	DependOnSources(t)
	return program
}

// natsServer returns the path of the NATS server.
func natsServer(t testing.TB) string {
	t.Helper()
	Program(t)
	path, err := buildServer()
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// Command returns the real program with arguments, not started yet.
func Command(t testing.TB, args ...string) *exec.Cmd {
	t.Helper()
	return exec.Command(Program(t), args...)
}

// Root returns the folder that holds go.mod.
func Root(t testing.TB) string {
	t.Helper()
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for ; ; dir = filepath.Dir(dir) {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir
		}
		if dir == filepath.Dir(dir) {
			t.Fatal("the tests run outside the module")
		}
	}
}

// ReadFile returns the content of a file, given by its path from [Root].
func ReadFile(t testing.TB, path string) string {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(Root(t), path))
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}
