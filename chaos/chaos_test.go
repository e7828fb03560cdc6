package main

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
	"time"
)

func TestMain(m *testing.M) {
	if child() { // the tests' NATS servers are processes of this test binary
		return
	}
	os.Exit(m.Run())
}

// A short mix of the table. The whole of it is `go run ./chaos`.
func TestAShopThatBreaksKeepsItsPromises(t *testing.T) {
	lookAtSources(t)
	dir := t.TempDir()
	program, err := build(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	o := options{seed: 20261123, load: 6 * time.Second, program: program}
	for _, f := range faults {
		if !f.short {
			continue
		}
		t.Run(f.name, func(t *testing.T) {
			t.Parallel() // most of the time is spent waiting for what was interrupted
			ctx, cancel := context.WithTimeout(t.Context(), 4*time.Minute)
			defer cancel()
			trial := newTrial(f, o, filepath.Join(dir, f.name))
			trial.run(ctx)
			for _, figure := range trial.figures {
				t.Log(figure)
			}
			for _, wrong := range trial.wrongs {
				t.Errorf("seed %d: %s", o.seed, wrong)
			}
		})
	}
}

// lookAtSources looks at every file that the tested program may be made of. go
// test remembers what a test looked at, and so does not repeat an old result
// for a new program.
func lookAtSources(t *testing.T) {
	t.Helper()
	seen := 0
	err := filepath.WalkDir("..", func(path string, d os.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) { // another test's, gone meanwhile
			return nil
		}
		if err != nil {
			return err
		}
		if d.IsDir() && len(d.Name()) > 2 && d.Name()[0] == '.' {
			return filepath.SkipDir
		}
		if ext := filepath.Ext(path); !d.IsDir() && (ext == ".go" || ext == ".yaml" || ext == ".html" || ext == ".css" || ext == ".mod") {
			_, err = os.Stat(path)
			seen++
		}
		return err
	})
	if err != nil || seen < 100 {
		t.Fatalf("looked at %d files: %v", seen, err)
	}
}

func TestEveryFaultSaysWhatHolds(t *testing.T) {
	seen := map[string]bool{}
	for _, f := range faults {
		if f.name == "" || f.holds == "" || f.happen == nil || seen[f.name] {
			t.Errorf("fault %q is not whole, or there twice", f.name)
		}
		seen[f.name] = true
	}
	if _, err := choose(names{"no such fault"}); err == nil {
		t.Error("a fault that does not exist was chosen")
	}
	if chosen, err := choose(names{"kill-up"}); err != nil || len(chosen) != 1 {
		t.Errorf("chose %d faults, %v", len(chosen), err)
	}
}
