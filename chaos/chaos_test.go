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
	if runNode() { // the tests' NATS servers are processes of this test binary
		return
	}
	os.Exit(m.Run())
}

// TestFaults_ShortMixKeepsEveryPromise runs part of the table. `go run ./chaos`
// runs all of it.
func TestFaults_ShortMixKeepsEveryPromise(t *testing.T) {
	statSources(t)
	dir := t.TempDir()
	program, err := build(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	o := options{seed: 20261123, duration: 6 * time.Second, program: program}
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
			for _, wrong := range trial.failures {
				t.Errorf("seed %d: %s", o.seed, wrong)
			}
		})
	}
}

// statSources calls Stat on every file that the tested program may be built from.
// go test caches a result until a file changes that the test itself used; it does
// not see what the program uses. Without this, an old result would be repeated for
// a new program.
func statSources(t *testing.T) {
	t.Helper()
	seen := 0
	err := filepath.WalkDir("..", func(path string, d os.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) { // a file of another test, deleted meanwhile
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

func TestFaults_NameAPromise(t *testing.T) {
	seen := map[string]bool{}
	for _, f := range faults {
		if f.name == "" || f.promise == "" || f.inject == nil || seen[f.name] {
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
