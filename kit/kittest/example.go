package kittest

import (
	"context"
	"fmt"
	"os"
	"slices"
	"testing"
)

// RunExample runs an Example that calls functions of this package. An Example has no
// [testing.TB]; RunExample passes one to run, and does its cleanups afterwards. An error
// panics, so the Example fails. Only the methods that this package uses are available.
func RunExample(run func(t testing.TB)) {
	ctx, cancel := context.WithCancel(context.Background())
	t := &exampleTB{ctx: ctx}
	defer func() {
		cancel() // before the cleanups, as in a test
		for _, cleanup := range slices.Backward(t.cleanups) {
			cleanup()
		}
	}()
	run(t)
}

// exampleTB is the testing.TB of an Example. Embedding the interface is the only way to
// implement it; methods that are not declared here panic.
type exampleTB struct {
	testing.TB
	ctx      context.Context
	cleanups []func()
}

func (t *exampleTB) Helper()                           {}
func (t *exampleTB) Context() context.Context          { return t.ctx }
func (t *exampleTB) Cleanup(f func())                  { t.cleanups = append(t.cleanups, f) }
func (t *exampleTB) Fatal(args ...any)                 { panic(fmt.Sprint(args...)) }
func (t *exampleTB) Fatalf(format string, args ...any) { panic(fmt.Sprintf(format, args...)) }

func (t *exampleTB) TempDir() string {
	dir, err := os.MkdirTemp("", "kittest-example-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}
