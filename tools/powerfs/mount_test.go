package main

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"
)

// mounted is a disk that is mounted.
type mounted struct {
	t       *testing.T
	disk    *disk
	at      string
	unmount func()
}

// mountDisk mounts a folder. Without /dev/fuse there is nothing to mount with; what
// a power cut leaves is tested without it.
func mountDisk(t *testing.T, dir string, seed uint64) mounted {
	t.Helper()
	f, err := os.OpenFile("/dev/fuse", os.O_RDWR, 0)
	if err != nil {
		t.Skip("left out, this machine cannot mount through FUSE: ", err)
	}
	f.Close()
	d, err := newDisk(options{from: dir, seed: seed})
	if err != nil {
		t.Fatal(err)
	}
	at := t.TempDir()
	server, err := mount(d, at)
	if err != nil {
		t.Fatal(err)
	}
	m := mounted{t: t, disk: d, at: at}
	done := false
	m.unmount = func() {
		if done {
			return
		}
		done = true
		d.fail()
		if err := errors.Join(unmount(server, at), d.close()); err != nil {
			t.Error(err)
		}
	}
	t.Cleanup(m.unmount)
	return m
}

func (m mounted) path(name string) string { return filepath.Join(m.at, name) }

func (m mounted) must(err error) {
	m.t.Helper()
	if err != nil {
		m.t.Fatal(err)
	}
}

// write writes a file, with flags in addition to those that create it.
func (m mounted) write(name string, flags int, data string) *os.File {
	m.t.Helper()
	f, err := os.OpenFile(m.path(name), os.O_CREATE|os.O_RDWR|flags, 0o600)
	m.must(err)
	m.t.Cleanup(func() { f.Close() })
	_, err = f.WriteString(data)
	m.must(err)
	return f
}

func (m mounted) syncFolder(name string) {
	m.t.Helper()
	f, err := os.Open(m.path(name))
	m.must(err)
	defer f.Close()
	m.must(f.Sync())
}

// What programs sync through the mount is there after any power cut, in each way in
// which they can sync it; what they do not sync is lost by some.
func TestMount_KeepsWhatProgramsSync(t *testing.T) {
	lost := map[string]int{}
	for seed := range uint64(20) {
		dir := t.TempDir()
		m := mountDisk(t, dir, seed)
		m.must(m.write("synced", 0, "content").Sync())
		m.write("always", syscall.O_SYNC, "content")
		copied := m.write("copied", 0, "")
		_, err := io.Copy(copied, bytes.NewReader([]byte("content")))
		m.must(err)
		from, err := os.Open(m.path("synced"))
		m.must(err)
		_, err = io.Copy(copied, from) // copy_file_range, where there is one
		m.must(errors.Join(err, from.Close(), copied.Truncate(int64(len("content"))), copied.Sync()))
		m.must(m.write("mapped", 0, "CONTENT").Sync())
		mapContent(t, m.path("mapped"))
		m.write("not", 0, "content")
		m.must(os.Rename(m.path("synced"), m.path("renamed")))
		m.syncFolder(".")
		m.must(os.Remove(m.path("renamed")))
		m.write("later", 0, "content")

		m.cut()
		m.unmount()
		for _, name := range []string{"always", "copied", "mapped"} {
			if data, err := os.ReadFile(filepath.Join(dir, name)); string(data) != "content" {
				t.Fatalf("seed %d: %s holds %q: %v", seed, name, data, err)
			}
		}
		for _, name := range []string{"renamed", "not", "later"} {
			if data, _ := os.ReadFile(filepath.Join(dir, name)); string(data) != "content" {
				lost[name]++
			}
		}
	}
	for _, name := range []string{"renamed", "not", "later"} {
		if lost[name] == 0 || lost[name] == 20 {
			t.Errorf("%s was lost by %d of 20 power cuts", name, lost[name])
		}
	}
}

// mapContent changes a file through memory, and syncs it, as SQLite does.
func mapContent(t *testing.T, path string) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	memory, err := syscall.Mmap(int(f.Fd()), 0, pageSize, syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_SHARED)
	if err != nil {
		t.Fatal(err)
	}
	copy(memory, "content")
	if err := errors.Join(f.Sync(), syscall.Munmap(memory)); err != nil {
		t.Fatal(err)
	}
}

// cut cuts the power.
func (m mounted) cut() {
	m.t.Helper()
	_, err := m.disk.cut()
	m.must(err)
}

// After the cut, calls wait until they are to fail, and then fail; and everything can
// be unmounted although a file is open.
func TestMount_AnswersNothingAfterTheCut(t *testing.T) {
	m := mountDisk(t, t.TempDir(), 1)
	f := m.write("f", 0, "content")
	m.cut()
	answers := make(chan error, 3)
	go func() { answers <- f.Sync() }()
	go func() { _, err := f.WriteString("more"); answers <- err }()
	go func() { _, err := os.Create(m.path("another")); answers <- err }()
	select {
	case err := <-answers:
		t.Fatalf("a call was answered after the cut: %v", err)
	case <-time.After(100 * time.Millisecond): // a call that is answered is answered much sooner
	}
	if _, err := m.disk.cut(); err == nil {
		t.Error("the power was cut twice")
	}
	m.disk.fail()
	for range 3 {
		if err := <-answers; !errors.Is(err, syscall.EIO) {
			t.Errorf("a call was answered with %v", err)
		}
	}
}
