// Command faultyfs shows a folder at another place, through FUSE, and makes what
// is done there fail when it is told to. It takes one command a line from standard
// input, and answers each with a line that begins with its own word, or "error":
//
//	fail write EIO     writes fail; so they do with ENOSPC
//	fail fsync EIO     syncs of files fail, though what was written can be read
//	mend               nothing fails any more; answers how many calls had failed
//
// When standard input ends, so does the program, and the place is empty again.
// It prints "ready" first. Mounting takes root, or fusermount.
package main

import (
	"bufio"
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"strings"
	"sync"
	"syscall"

	"github.com/hanwen/go-fuse/v2/fs"
	"github.com/hanwen/go-fuse/v2/fuse"
)

func main() {
	from := flag.String("from", "", "the folder that is shown")
	at := flag.String("at", "", "where it is shown: an empty folder")
	flag.Parse()
	if err := serve(*from, *at); err != nil {
		fmt.Fprintln(os.Stderr, "faultyfs:", err)
		os.Exit(1)
	}
}

func serve(from, at string) error {
	if from == "" || at == "" {
		return errors.New("-from and -at are needed")
	}
	root, err := fs.NewLoopbackRoot(from)
	if err != nil {
		return err
	}
	plan := &faults{failing: map[string]syscall.Errno{}}
	server, err := fs.Mount(at, &node{root.(*fs.LoopbackNode), plan}, &fs.Options{
		MountOptions: fuse.MountOptions{FsName: from, Name: "faultyfs", DirectMount: true},
	})
	if err != nil {
		return fmt.Errorf("mount at %s: %w", at, err)
	}
	fmt.Println("ready")
	for lines := bufio.NewScanner(os.Stdin); lines.Scan(); {
		fmt.Println(plan.obey(strings.Fields(lines.Text())))
	}
	return server.Unmount()
}

// faults is what fails at present.
type faults struct {
	mu      sync.Mutex
	failing map[string]syscall.Errno // "write" or "fsync"
	failed  int                      // calls, since the last mend
}

var errnos = map[string]syscall.Errno{"EIO": syscall.EIO, "ENOSPC": syscall.ENOSPC}

// obey does what a command says and returns the answer.
func (f *faults) obey(words []string) string {
	f.mu.Lock()
	defer f.mu.Unlock()
	switch {
	case len(words) == 3 && words[0] == "fail" && (words[1] == "write" || words[1] == "fsync") && errnos[words[2]] != 0:
		f.failing[words[1]] = errnos[words[2]]
		return "fail"
	case len(words) == 1 && words[0] == "mend":
		n := f.failed
		clear(f.failing)
		f.failed = 0
		return fmt.Sprint("mend ", n)
	}
	return "error: fail write|fsync EIO|ENOSPC, or mend"
}

// of is the error that a call gets, 0 when it may go on.
func (f *faults) of(call string) syscall.Errno {
	f.mu.Lock()
	defer f.mu.Unlock()
	errno := f.failing[call]
	if errno != 0 {
		f.failed++
	}
	return errno
}

// node is a file or folder of the one that is shown.
type node struct {
	*fs.LoopbackNode
	faults *faults
}

// WrapChild implements fs.NodeWrapChilder.
func (n *node) WrapChild(_ context.Context, child fs.InodeEmbedder) fs.InodeEmbedder {
	return &node{child.(*fs.LoopbackNode), n.faults}
}

// Open implements fs.NodeOpener.
func (n *node) Open(ctx context.Context, flags uint32) (fs.FileHandle, uint32, syscall.Errno) {
	f, more, errno := n.LoopbackNode.Open(ctx, flags)
	return n.wrap(f), more, errno
}

// Create implements fs.NodeCreater.
func (n *node) Create(ctx context.Context, name string, flags, mode uint32, out *fuse.EntryOut) (*fs.Inode, fs.FileHandle, uint32, syscall.Errno) {
	inode, f, more, errno := n.LoopbackNode.Create(ctx, name, flags, mode, out)
	return inode, n.wrap(f), more, errno
}

func (n *node) wrap(f fs.FileHandle) fs.FileHandle {
	if beneath, ok := f.(*fs.LoopbackFile); ok {
		return &file{beneath, n.faults}
	}
	return f
}

// file is an open file.
type file struct {
	*fs.LoopbackFile
	faults *faults
}

// PassthroughFd implements fs.FilePassthroughFder: the kernel is not to go past us.
func (f *file) PassthroughFd() (int, bool) { return 0, false }

// Write implements fs.FileWriter.
func (f *file) Write(ctx context.Context, data []byte, off int64) (uint32, syscall.Errno) {
	if errno := f.faults.of("write"); errno != 0 {
		return 0, errno
	}
	return f.LoopbackFile.Write(ctx, data, off)
}

// Fsync implements fs.FileFsyncer.
func (f *file) Fsync(ctx context.Context, flags uint32) syscall.Errno {
	if errno := f.faults.of("fsync"); errno != 0 {
		return errno
	}
	return f.LoopbackFile.Fsync(ctx, flags)
}
