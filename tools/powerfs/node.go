package main

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"syscall"

	"github.com/hanwen/go-fuse/v2/fs"
	"github.com/hanwen/go-fuse/v2/fuse"
)

// node is a file or folder of the one that is shown.
type node struct {
	*fs.LoopbackNode
	disk *disk
}

// WrapChild implements fs.NodeWrapChilder.
func (n *node) WrapChild(_ context.Context, child fs.InodeEmbedder) fs.InodeEmbedder {
	return &node{child.(*fs.LoopbackNode), n.disk}
}

func (n *node) path() string { return filepath.Join(n.disk.dir, n.Path(n.Root())) }

// entry returns a name in the folder n.
func (n *node) entry(called string) (name, error) {
	stat, err := os.Lstat(n.path())
	if err != nil {
		return name{}, err
	}
	return name{stat.Sys().(*syscall.Stat_t).Ino, called}, nil
}

// change does what changes a name in the folder n.
func (n *node) change(k kind, called string, do func() syscall.Errno) syscall.Errno {
	if errno := n.disk.begin(); errno != 0 {
		return errno
	}
	defer n.disk.mu.Unlock()
	e, err := n.entry(called)
	if err != nil {
		return errnoOf(err)
	}
	return n.disk.rename(op{kind: k, path: filepath.Join(n.path(), called), names: []name{e}}, do)
}

// Create implements fs.NodeCreater.
func (n *node) Create(ctx context.Context, called string, flags, mode uint32, out *fuse.EntryOut) (inode *fs.Inode, f fs.FileHandle, more uint32, errno syscall.Errno) {
	errno = n.change(added, called, func() (errno syscall.Errno) {
		inode, f, more, errno = n.LoopbackNode.Create(ctx, called, flags|syscall.O_EXCL, mode, out)
		return errno
	})
	if errno != 0 {
		return nil, nil, 0, errno
	}
	f, errno = n.open(filepath.Join(n.path(), called), f, flags)
	return inode, f, more | fuse.FOPEN_KEEP_CACHE, errno
}

// Mkdir implements fs.NodeMkdirer.
func (n *node) Mkdir(ctx context.Context, called string, mode uint32, out *fuse.EntryOut) (inode *fs.Inode, errno syscall.Errno) {
	errno = n.change(added, called, func() (errno syscall.Errno) {
		inode, errno = n.LoopbackNode.Mkdir(ctx, called, mode, out)
		return errno
	})
	return inode, errno
}

// Symlink implements fs.NodeSymlinker.
func (n *node) Symlink(ctx context.Context, target, called string, out *fuse.EntryOut) (inode *fs.Inode, errno syscall.Errno) {
	errno = n.change(added, called, func() (errno syscall.Errno) {
		inode, errno = n.LoopbackNode.Symlink(ctx, target, called, out)
		return errno
	})
	return inode, errno
}

// Link implements fs.NodeLinker.
func (n *node) Link(ctx context.Context, target fs.InodeEmbedder, called string, out *fuse.EntryOut) (inode *fs.Inode, errno syscall.Errno) {
	errno = n.change(added, called, func() (errno syscall.Errno) {
		inode, errno = n.LoopbackNode.Link(ctx, target, called, out)
		return errno
	})
	return inode, errno
}

// Mknod implements fs.NodeMknoder.
func (n *node) Mknod(context.Context, string, uint32, uint32, *fuse.EntryOut) (*fs.Inode, syscall.Errno) {
	return nil, syscall.ENOTSUP
}

// Unlink implements fs.NodeUnlinker.
func (n *node) Unlink(ctx context.Context, called string) syscall.Errno {
	return n.change(removed, called, func() syscall.Errno { return n.LoopbackNode.Unlink(ctx, called) })
}

// Rmdir implements fs.NodeRmdirer.
func (n *node) Rmdir(ctx context.Context, called string) syscall.Errno {
	return n.change(removed, called, func() syscall.Errno { return n.LoopbackNode.Rmdir(ctx, called) })
}

// Rename implements fs.NodeRenamer. A name that must be free is supported, an exchange
// is not.
func (n *node) Rename(ctx context.Context, called string, parent fs.InodeEmbedder, newName string, flags uint32) syscall.Errno {
	to, ok := parent.(*node)
	if !ok {
		return syscall.EXDEV
	}
	if flags&^1 != 0 { // RENAME_NOREPLACE is 1
		return syscall.EINVAL
	}
	if errno := n.disk.begin(); errno != 0 {
		return errno
	}
	defer n.disk.mu.Unlock()
	from, err := n.entry(called)
	if err != nil {
		return errnoOf(err)
	}
	at, err := to.entry(newName)
	if err != nil {
		return errnoOf(err)
	}
	o := op{kind: moved, path: filepath.Join(n.path(), called), newPath: filepath.Join(to.path(), newName), names: []name{from, at}}
	return n.disk.rename(o, func() syscall.Errno { return n.LoopbackNode.Rename(ctx, called, to.LoopbackNode, newName, flags) })
}

// Open implements fs.NodeOpener.
func (n *node) Open(ctx context.Context, flags uint32) (fs.FileHandle, uint32, syscall.Errno) {
	if errno := n.disk.beginRead(); errno != 0 {
		return nil, 0, errno
	}
	defer n.disk.mu.RUnlock()
	// The kernel truncates with Setattr.
	f, more, errno := n.LoopbackNode.Open(ctx, flags&^syscall.O_TRUNC)
	if errno != 0 {
		return nil, 0, errno
	}
	f, errno = n.open(n.path(), f, flags)
	return f, more | fuse.FOPEN_KEEP_CACHE, errno
}

// open returns the handle that this file system gives for one of the loopback's.
func (n *node) open(path string, f fs.FileHandle, flags uint32) (fs.FileHandle, syscall.Errno) {
	beneath := f.(*fs.LoopbackFile)
	fd, err := os.Open(path) // changes and reads use a descriptor that this package can reach
	if err == nil && flags&syscall.O_ACCMODE != syscall.O_RDONLY {
		fd.Close()
		fd, err = os.OpenFile(path, os.O_RDWR, 0)
	}
	if err != nil {
		beneath.Release(context.Background())
		return nil, errnoOf(err)
	}
	return &handle{beneath, n.disk, fd, inodeOf(fd), flags&(syscall.O_SYNC|syscall.O_DSYNC) != 0}, 0
}

// Setattr implements fs.NodeSetattrer.
func (n *node) Setattr(ctx context.Context, f fs.FileHandle, in *fuse.SetAttrIn, out *fuse.AttrOut) syscall.Errno {
	if errno := n.disk.begin(); errno != 0 {
		return errno
	}
	defer n.disk.mu.Unlock()
	if size, ok := in.GetSize(); ok {
		if errno := n.truncate(f, int64(size)); errno != 0 {
			return errno
		}
	}
	return n.LoopbackNode.Setattr(ctx, f, in, out)
}

func (n *node) truncate(f fs.FileHandle, size int64) syscall.Errno {
	if h, ok := f.(*handle); ok {
		return errnoOf(n.disk.truncate(h.fd, size))
	}
	fd, err := os.OpenFile(n.path(), os.O_RDWR, 0)
	if err != nil {
		return errnoOf(err)
	}
	defer fd.Close()
	return errnoOf(n.disk.truncate(fd, size))
}

// CopyFileRange implements fs.NodeCopyFileRanger: the kernel is to read and write.
func (n *node) CopyFileRange(context.Context, fs.FileHandle, uint64, *fs.Inode, fs.FileHandle, uint64, uint64, uint64) (uint32, syscall.Errno) {
	return 0, syscall.ENOSYS
}

// Lookup implements fs.NodeLookuper.
func (n *node) Lookup(ctx context.Context, called string, out *fuse.EntryOut) (*fs.Inode, syscall.Errno) {
	if errno := n.disk.beginRead(); errno != 0 {
		return nil, errno
	}
	defer n.disk.mu.RUnlock()
	return n.LoopbackNode.Lookup(ctx, called, out)
}

// Getattr implements fs.NodeGetattrer.
func (n *node) Getattr(ctx context.Context, f fs.FileHandle, out *fuse.AttrOut) syscall.Errno {
	if errno := n.disk.beginRead(); errno != 0 {
		return errno
	}
	defer n.disk.mu.RUnlock()
	return n.LoopbackNode.Getattr(ctx, f, out)
}

// OpendirHandle implements fs.NodeOpendirHandler.
func (n *node) OpendirHandle(ctx context.Context, flags uint32) (fs.FileHandle, uint32, syscall.Errno) {
	if errno := n.disk.beginRead(); errno != 0 {
		return nil, 0, errno
	}
	defer n.disk.mu.RUnlock()
	e, err := n.entry("")
	if err != nil {
		return nil, 0, errnoOf(err)
	}
	names, more, errno := n.LoopbackNode.OpendirHandle(ctx, flags)
	if errno != 0 {
		return nil, 0, errno
	}
	return &folder{names.(dirStream), n.disk, e.folder}, more, 0
}

// dirStream is what a folder is read with.
type dirStream interface {
	fs.FileReaddirenter
	fs.FileReleasedirer
	fs.FileSeekdirer
}

// folder is an open folder.
type folder struct {
	dirStream
	disk  *disk
	inode uint64
}

// Fsyncdir implements fs.FileFsyncdirer.
func (f *folder) Fsyncdir(context.Context, uint32) syscall.Errno { return f.disk.sync(f.inode, true) }

// handle is an open file.
type handle struct {
	*fs.LoopbackFile
	disk   *disk
	fd     *os.File
	inode  uint64
	synced bool // opened with O_SYNC or O_DSYNC
}

// PassthroughFd implements fs.FilePassthroughFder: the kernel is not to go past us.
func (h *handle) PassthroughFd() (int, bool) { return 0, false }

// Allocate implements fs.FileAllocater: programs write instead.
func (h *handle) Allocate(context.Context, uint64, uint64, uint32) syscall.Errno {
	return syscall.EOPNOTSUPP
}

// Read implements fs.FileReader.
func (h *handle) Read(_ context.Context, into []byte, off int64) (fuse.ReadResult, syscall.Errno) {
	if errno := h.disk.beginRead(); errno != 0 {
		return nil, errno
	}
	defer h.disk.mu.RUnlock()
	n, err := syscall.Pread(int(h.fd.Fd()), into, off)
	if err != nil {
		return nil, errnoOf(err)
	}
	return fuse.ReadResultData(into[:n]), 0
}

// Write implements fs.FileWriter.
func (h *handle) Write(_ context.Context, data []byte, off int64) (uint32, syscall.Errno) {
	if errno := h.disk.begin(); errno != 0 {
		return 0, errno
	}
	err := h.disk.write(h.fd, data, off)
	h.disk.mu.Unlock()
	if err != nil {
		return 0, errnoOf(err)
	}
	if h.synced {
		if errno := h.disk.sync(h.inode, false); errno != 0 {
			return 0, errno
		}
	}
	return uint32(len(data)), 0
}

// Writev implements fs.FileWritever.
func (h *handle) Writev(ctx context.Context, data [][]byte, off int64) (uint32, syscall.Errno) {
	return h.Write(ctx, slices.Concat(data...), off)
}

// Fsync implements fs.FileFsyncer.
func (h *handle) Fsync(context.Context, uint32) syscall.Errno { return h.disk.sync(h.inode, false) }

// Release implements fs.FileReleaser.
func (h *handle) Release(ctx context.Context) syscall.Errno {
	h.fd.Close()
	return h.LoopbackFile.Release(ctx)
}
