package main

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

// program is a program on a disk, without FUSE: what it calls is what the kernel
// makes of a program's calls.
type program struct {
	t *testing.T
	*disk
}

// openDisk returns a program on a disk that is empty, or holds what a power cut left.
func openDisk(t *testing.T, dir string, strict bool, seed uint64) program {
	t.Helper()
	d, err := newDisk(options{from: dir, strict: strict, seed: seed})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := d.close(); err != nil {
			t.Error(err)
		}
	})
	return program{t, d}
}

func (p program) path(name string) string { return filepath.Join(p.dir, name) }

func (p program) must(err error) {
	p.t.Helper()
	if err != nil {
		p.t.Fatal(err)
	}
}

func (p program) inode(path string) uint64 {
	p.t.Helper()
	stat, err := os.Stat(p.path(path))
	p.must(err)
	return stat.Sys().(*syscall.Stat_t).Ino
}

// change does something to names.
func (p program) change(k kind, path, newPath string, do func() error) {
	p.t.Helper()
	o := op{kind: k, path: p.path(path), names: []name{{p.inode(filepath.Dir(path)), filepath.Base(path)}}}
	if newPath != "" {
		o.newPath = p.path(newPath)
		o.names = append(o.names, name{p.inode(filepath.Dir(newPath)), filepath.Base(newPath)})
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if errno := p.disk.rename(o, func() syscall.Errno { return errnoOf(do()) }); errno != 0 {
		p.t.Fatal(errno)
	}
}

func (p program) create(path string) {
	p.t.Helper()
	p.change(added, path, "", func() error {
		f, err := os.OpenFile(p.path(path), os.O_CREATE|os.O_EXCL, 0o600)
		return errors.Join(err, f.Close())
	})
}

func (p program) mkdir(path string) {
	p.t.Helper()
	p.change(added, path, "", func() error { return os.Mkdir(p.path(path), 0o700) })
}

func (p program) remove(path string) {
	p.t.Helper()
	p.change(removed, path, "", func() error { return os.Remove(p.path(path)) })
}

func (p program) move(path, newPath string) {
	p.t.Helper()
	p.change(moved, path, newPath, func() error { return os.Rename(p.path(path), p.path(newPath)) })
}

func (p program) with(path string, do func(*os.File) error) {
	p.t.Helper()
	f, err := os.OpenFile(p.path(path), os.O_RDWR, 0)
	p.must(err)
	defer f.Close()
	p.mu.Lock()
	defer p.mu.Unlock()
	p.must(do(f))
}

func (p program) writeAt(path string, data []byte, off int64) {
	p.t.Helper()
	p.with(path, func(f *os.File) error { return p.write(f, data, off) })
}

func (p program) resize(path string, size int64) {
	p.t.Helper()
	p.with(path, func(f *os.File) error { return p.truncate(f, size) })
}

func (p program) syncFile(path string) {
	p.t.Helper()
	if errno := p.sync(p.inode(path), false); errno != 0 {
		p.t.Fatal(errno)
	}
}

func (p program) syncFolder(path string) {
	p.t.Helper()
	if errno := p.sync(p.inode(path), true); errno != 0 {
		p.t.Fatal(errno)
	}
}

// powerCut cuts the power and returns what is left.
func (p program) powerCut() remains {
	p.t.Helper()
	r, err := p.cut()
	p.must(err)
	return r
}

// read returns what a file holds; nil if there is none.
func (p program) read(path string) []byte {
	p.t.Helper()
	data, err := os.ReadFile(p.path(path))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	p.must(err)
	return append([]byte{}, data...)
}

// contents are the contents that a file has had since its last sync, the durable one
// first.
type contents [][]byte

func (c contents) now() []byte { return c[len(c)-1] }

// check returns an error unless a file may be like this after a power cut: each byte
// has a value of one of the contents, or 0 where one of them ended before it.
func (c contents) check(left []byte) error {
	least, most := len(c[0]), len(c[0])
	for _, v := range c {
		least, most = min(least, len(v)), max(most, len(v))
	}
	if len(left) < least || len(left) > most {
		return fmt.Errorf("%d bytes are left, and the file had %d to %d", len(left), least, most)
	}
	for i, b := range left {
		found := false
		for _, v := range c {
			found = found || i < len(v) && v[i] == b || i >= len(v) && b == 0
		}
		if !found {
			return fmt.Errorf("byte %d is %d, which it never was", i, b)
		}
	}
	return nil
}

// write returns the content after a write.
func written(before, data []byte, off int64) []byte {
	after := make([]byte, max(len(before), int(off)+len(data)))
	copy(after, before)
	copy(after[off:], data)
	return after
}

// resized returns the content after a change of the size.
func resized(before []byte, size int64) []byte {
	after := make([]byte, size)
	copy(after, before)
	return after
}

// randomData returns bytes that no other write of the same seed has, nearly always.
func randomData(rng *rand.Rand, most int) []byte {
	return bytes.Repeat([]byte{byte(1 + rng.IntN(255))}, 1+rng.IntN(most))
}

func (p program) exists(path string) bool {
	_, err := os.Lstat(p.path(path))
	return err == nil
}

func (p program) canCreate(path string) bool { return !p.exists(path) && p.exists(filepath.Dir(path)) }
