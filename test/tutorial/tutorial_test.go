// Package tutorial follows docs/tutorial.md, as its reader would.
package tutorial

import (
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const (
	page    = "../../docs/tutorial.md"
	example = "../../examples/tickets"
)

// TestTutorial_EachStepCompilesAndTheLastIsTheExample writes the files of each step into
// a module of its own, builds and vets it and runs the tests that the step tells to run.
// After the last step the files are those of examples/tickets.
func TestTutorial_EachStepCompilesAndTheLastIsTheExample(t *testing.T) {
	text, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	steps, err := parse(string(text))
	if err != nil {
		t.Fatal(err)
	}
	if len(steps) != 7 {
		t.Fatalf("the page has %d steps, not 7", len(steps))
	}
	dependOnSources(t)
	dir, files := newModule(t), map[string]string{}
	for _, s := range steps {
		for _, b := range s.blocks {
			if err := b.apply(files); err != nil {
				t.Fatalf("%s: %v", s.title, err)
			}
			write(t, filepath.Join(dir, b.file), files[b.file])
		}
		for _, command := range append([]string{"go build ./...", "go vet ./..."}, s.tests...) {
			run(t, dir, s.title, command)
		}
	}
	compare(t, files)
}

// newModule is an empty module that may import what the example may.
func newModule(t *testing.T) (dir string) {
	t.Helper()
	dir = t.TempDir()
	top, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	mod := read(t, filepath.Join(example, "go.mod"))
	here := strings.Replace(mod, "=> ../..", "=> "+top, 1)
	if here == mod {
		t.Fatal("the example's go.mod does not replace lonja by ../..")
	}
	write(t, filepath.Join(dir, "go.mod"), here)
	write(t, filepath.Join(dir, "go.sum"), read(t, filepath.Join(example, "go.sum")))
	return dir
}

func run(t *testing.T, dir, step, command string) {
	t.Helper()
	words := strings.Fields(command)
	cmd := exec.Command(words[0], words[1:]...)
	cmd.Dir = dir
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %s: %v\n%s", step, command, err, out)
	}
	t.Logf("%s: %s\n%s", step, command, out)
}

// compare checks that the page has written the example, except for those of its tests
// that the page does not show.
func compare(t *testing.T, written map[string]string) {
	t.Helper()
	there := map[string]string{}
	err := fs.WalkDir(os.DirFS(example), ".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || strings.HasPrefix(path, ".") {
			return err
		}
		if slices.Contains([]string{".go", ".yaml"}, filepath.Ext(path)) {
			there[path] = read(t, filepath.Join(example, path))
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range slices.Sorted(maps.Keys(there)) {
		if got, shown := written[path]; shown && got != there[path] {
			t.Errorf("%s: the page makes another file than the example has; it differs at\n%s", path, difference(got, there[path]))
		} else if !shown && !strings.HasSuffix(path, "_test.go") {
			t.Errorf("the page does not make %s", path)
		}
	}
	for path := range written {
		if _, ok := there[path]; !ok {
			t.Errorf("the page makes %s, which the example has not", path)
		}
	}
}

// difference shows the first line in which two texts differ.
func difference(page, example string) string {
	a, b := strings.Split(page, "\n"), strings.Split(example, "\n")
	for i := range min(len(a), len(b)) {
		if a[i] != b[i] {
			return "page:    " + a[i] + "\nexample: " + b[i]
		}
	}
	return "the end: one of them is longer"
}

// dependOnSources makes the test run again when the kit or the example has changed.
func dependOnSources(t *testing.T) {
	t.Helper()
	seen := 0
	for _, dir := range []string{"../../kit", example} {
		err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
			if err == nil && !d.IsDir() && !strings.Contains(path, "testdata") {
				seen++
				_, err = os.Stat(path)
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if seen < 50 {
		t.Fatalf("only %d sources", seen)
	}
}

func read(t *testing.T, path string) string {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o750); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}
