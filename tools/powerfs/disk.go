package main

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"time"
)

// disk is a folder of which is known what a power cut would leave. The folder itself
// holds what programs see; what is needed to take changes back is kept beside it.
type disk struct {
	dir       string
	lost      string // folder of what was removed or replaced, until that is durable
	strict    bool
	syncTakes time.Duration
	failed    chan struct{} // closed when calls after the cut are to fail

	mu    sync.RWMutex // held by every call while it reads or changes the folder
	rng   *rand.Rand
	off   bool
	files map[uint64]*file // with content that is not durable, by inode
	names journal
}

func newDisk(o options) (*disk, error) {
	dir, err := filepath.Abs(o.from)
	if err != nil {
		return nil, err
	}
	d := &disk{dir: dir, lost: dir + ".lost", strict: o.strict, syncTakes: o.syncTakes, failed: make(chan struct{}),
		rng: rand.New(rand.NewPCG(o.seed, 2)), files: map[uint64]*file{}}
	if err := errors.Join(os.RemoveAll(d.lost), os.Mkdir(d.lost, 0o700)); err != nil {
		return nil, err
	}
	return d, nil
}

func (d *disk) close() error {
	for _, f := range d.files {
		f.fd.Close()
	}
	return os.RemoveAll(d.lost)
}

// fail makes all calls fail: those that have waited since the cut, and later ones.
func (d *disk) fail() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.off = true
	select {
	case <-d.failed:
	default:
		close(d.failed)
	}
}

// begin is called before the folder is changed, and the caller calls d.mu.Unlock
// after that. When the power is off, it waits until calls are to fail, and returns
// EIO without the lock.
func (d *disk) begin() syscall.Errno {
	d.mu.Lock()
	if !d.off {
		return 0
	}
	d.mu.Unlock()
	<-d.failed
	return syscall.EIO
}

// beginRead is begin for calls that change nothing. The caller calls d.mu.RUnlock.
func (d *disk) beginRead() syscall.Errno {
	d.mu.RLock()
	if !d.off {
		return 0
	}
	d.mu.RUnlock()
	<-d.failed
	return syscall.EIO
}

// syncing is a sync that has begun: what it makes durable when it ends. What is
// changed in the meantime is not part of it.
type syncing struct {
	inode   uint64
	folder  bool
	version int // of the file
	op      int // the last of the names' operations
}

// sync makes durable what a file or folder is when it is called, and returns when
// it is durable. A power cut in the meantime leaves it as volatile as before.
func (d *disk) sync(inode uint64, folder bool) syscall.Errno {
	if errno := d.begin(); errno != 0 {
		return errno
	}
	s := syncing{inode: inode, folder: folder, op: d.names.last}
	if f := d.files[inode]; f != nil {
		s.version = f.seal()
	}
	d.mu.Unlock()
	time.Sleep(d.syncTakes)
	if errno := d.begin(); errno != 0 {
		return errno
	}
	defer d.mu.Unlock()
	return errnoOf(d.finish(s))
}

func (d *disk) finish(s syncing) error {
	if f := d.files[s.inode]; f != nil && f.durable(s.version) {
		delete(d.files, s.inode)
		if err := f.fd.Close(); err != nil {
			return err
		}
	}
	switch {
	case !d.strict: // the journal is committed up to the last operation that concerns the file or folder
		return d.names.commitUpTo(s)
	case s.folder:
		return d.names.commitFolder(s)
	}
	return nil
}

// syncAll makes everything durable.
func (d *disk) syncAll() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.off {
		return errors.New("the power is off")
	}
	for _, f := range d.files {
		if err := f.fd.Close(); err != nil {
			return err
		}
	}
	clear(d.files)
	return d.names.commit(func(int) bool { return true })
}

// changing returns the file whose content is about to change. Of is a descriptor of
// it.
func (d *disk) changing(of *os.File) (*file, error) {
	stat, err := of.Stat()
	if err != nil {
		return nil, err
	}
	inode := stat.Sys().(*syscall.Stat_t).Ino
	if f := d.files[inode]; f != nil {
		return f, nil
	}
	// A descriptor of its own can be read, and outlives the caller's.
	fd, err := os.OpenFile(fmt.Sprintf("/proc/self/fd/%d", of.Fd()), os.O_RDWR, 0)
	if err != nil {
		return nil, err
	}
	d.files[inode] = &file{fd: fd}
	return d.files[inode], nil
}

// write writes to a file.
func (d *disk) write(of *os.File, data []byte, off int64) error {
	f, err := d.changing(of)
	if err != nil {
		return err
	}
	if err := f.willWrite(off, int64(len(data))); err != nil {
		return err
	}
	_, err = f.fd.WriteAt(data, off)
	return err
}

// truncate changes the size of a file.
func (d *disk) truncate(of *os.File, size int64) error {
	f, err := d.changing(of)
	if err != nil {
		return err
	}
	if err := f.willTruncate(size); err != nil {
		return err
	}
	return f.fd.Truncate(size)
}

// rename does what changes names, and remembers it. Do is what the file system does.
// What the operation removes or replaces is kept until it is durable.
func (d *disk) rename(o op, do func() syscall.Errno) syscall.Errno {
	d.names.last++
	o.id = d.names.last
	if err := d.keep(&o); err != nil {
		return errnoOf(err)
	}
	if errno := do(); errno != 0 {
		if o.kept != "" {
			return errnoOf(errors.Join(errno, os.Remove(o.kept)))
		}
		return errno
	}
	if o.inode == 0 { // it was created
		stat, err := os.Lstat(o.to())
		if err != nil {
			return errnoOf(err)
		}
		o.inode = stat.Sys().(*syscall.Stat_t).Ino
	}
	d.names.pending = append(d.names.pending, o)
	return 0
}

// keep finds out what an operation concerns, and keeps what it removes or replaces.
func (d *disk) keep(o *op) error {
	gone := o.path
	if o.kind == moved {
		gone = o.newPath
	}
	for _, path := range []string{o.path, gone} {
		stat, err := os.Lstat(path)
		if errors.Is(err, os.ErrNotExist) {
			continue
		}
		if err != nil {
			return err
		}
		if path == o.path {
			o.inode, o.folder = stat.Sys().(*syscall.Stat_t).Ino, stat.IsDir()
		}
		if path == gone && o.kind != added {
			if o.mode = stat.Mode(); !stat.IsDir() {
				o.kept = filepath.Join(d.lost, fmt.Sprint(o.id))
				return os.Link(path, o.kept)
			}
		}
	}
	if o.kind == added {
		o.inode = 0
	}
	return nil
}

func errnoOf(err error) syscall.Errno {
	if err == nil {
		return 0
	}
	var errno syscall.Errno
	if errors.As(err, &errno) {
		return errno
	}
	return syscall.EIO
}

// inodeOf returns the inode of an open file, 0 if that cannot be found out.
func inodeOf(fd *os.File) uint64 {
	stat, err := fd.Stat()
	if err != nil {
		return 0
	}
	return stat.Sys().(*syscall.Stat_t).Ino
}
