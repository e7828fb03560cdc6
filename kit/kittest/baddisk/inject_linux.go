package baddisk

import (
	"os"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"
)

func inject(t testing.TB, fault Fault, file string) {
	t.Helper()
	device, err := os.OpenFile(string(fault), os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer device.Close()
	const descriptors = "/proc/self/fd"
	entries, err := os.ReadDir(descriptors)
	if err != nil {
		t.Fatal(err)
	}
	found := 0
	for _, e := range entries {
		fd, err := strconv.Atoi(e.Name())
		// A descriptor may have been closed since the folder was read.
		if path, gone := os.Readlink(filepath.Join(descriptors, e.Name())); err != nil || gone != nil || path != file {
			continue
		}
		if err := syscall.Dup3(int(device.Fd()), fd, syscall.O_CLOEXEC); err != nil {
			t.Fatalf("redirect %s to %s: %v", file, fault, err)
		}
		found++
	}
	if found == 0 {
		t.Fatalf("baddisk: %s is not open in this process", file)
	}
}
