package baddisk

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"
)

func put(t testing.TB, device, file string) {
	t.Helper()
	bad, err := os.OpenFile(device, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer bad.Close()
	const open = "/proc/self/fd"
	entries, err := os.ReadDir(open)
	if err != nil {
		t.Fatal(err)
	}
	found := 0
	for _, e := range entries {
		fd, err := strconv.Atoi(e.Name())
		if path, gone := os.Readlink(filepath.Join(open, e.Name())); err != nil || gone != nil || path != file {
			continue
		}
		if err := syscall.Dup3(int(bad.Fd()), fd, syscall.O_CLOEXEC); err != nil {
			t.Fatal(fmt.Errorf("put %s in the place of %s: %w", device, file, err))
		}
		found++
	}
	if found == 0 {
		t.Fatalf("nobody has %s open", file)
	}
}
