package main

import (
	"os"
	"path/filepath"
	"runtime/debug"
	"testing"
)

func TestMemoryLimit(t *testing.T) {
	const mb = 1 << 20
	for _, tt := range []struct{ live, other, container, want uint64 }{
		{live: 0, want: softLimit},
		{live: 60 * mb, other: 30 * mb, want: softLimit},
		{live: 400 * mb, other: 50 * mb, want: 650 * mb},
		{live: 400 * mb, other: 50 * mb, container: 1024 * mb, want: 650 * mb},
		{live: 400 * mb, other: 50 * mb, container: 512 * mb, want: 384 * mb},
		{live: 10 * mb, container: 128 * mb, want: 96 * mb},
	} {
		if got := memoryLimit(tt.live, tt.other, tt.container); got != int64(tt.want) {
			t.Errorf("%+v: %d MiB", tt, got/mb)
		}
	}
}

func TestContainerMemory(t *testing.T) {
	dir := t.TempDir()
	for text, want := range map[string]uint64{"536870912\n": 512 << 20, "max\n": 0, "9223372036854771712\n": 0} {
		file := filepath.Join(dir, "memory.max")
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if got := containerMemory(filepath.Join(dir, "missing"), file); got != want {
			t.Errorf("%q is %d bytes", text, got)
		}
	}
	if got := containerMemory(filepath.Join(dir, "missing")); got != 0 {
		t.Errorf("without a control group: %d", got)
	}
}

func TestLimitMemory_LeavesGOMEMLIMITAlone(t *testing.T) {
	before := debug.SetMemoryLimit(-1)
	t.Cleanup(func() { debug.SetMemoryLimit(before) })
	t.Setenv("GOMEMLIMIT", "77MiB")
	debug.SetMemoryLimit(77 << 20)
	limitMemory(t.Context())
	if got := debug.SetMemoryLimit(-1); got != 77<<20 {
		t.Errorf("the limit of the environment has become %d", got)
	}
	t.Setenv("GOMEMLIMIT", "")
	limitMemory(t.Context())
	if got := debug.SetMemoryLimit(-1); got <= 0 || got > 1<<40 {
		t.Errorf("without one in the environment there is no limit: %d", got)
	}
}

func TestResting_TrimsOnceAfterARest(t *testing.T) {
	const mb = 1 << 20
	var r resting
	allocated := uint64(500 * mb)
	check := func(more, live, held uint64) bool {
		allocated += more
		return r.shouldTrim(allocated, live, held)
	}
	for n := range 3 * quietChecks {
		if check(10*mb, 50*mb, 150*mb) {
			t.Fatalf("trimmed at busy check %d", n)
		}
	}
	for n := 1; n < quietChecks; n++ {
		if check(mb, 50*mb, 150*mb) {
			t.Fatalf("trimmed at quiet check %d", n)
		}
	}
	if !check(mb, 50*mb, 150*mb) {
		t.Error("not trimmed after a rest")
	}
	for n := range 3 * quietChecks {
		if check(mb, 50*mb, 60*mb) {
			t.Fatalf("trimmed again at check %d, for 10 MB", n)
		}
	}
	if check(mb, 800*mb, 900*mb) {
		t.Error("trimmed an eighth of what is in use")
	}
}
