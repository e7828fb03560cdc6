// Command powerfs shows a folder at another place, through FUSE, and can cut its
// power: what was not synced by then may be lost, torn, or there, and nothing else.
// It takes one command a line from standard input, and answers each with a line
// that begins with its own word, or "error":
//
//	sync       everything is durable that was done before
//	cut        the power is cut: every call from now on waits, and the folder holds
//	           what a disk might hold after that. Answers what became of what was
//	           not synced
//	fail       calls that wait fail with EIO, and so do all others. Kill the programs
//	           that use the place between cut and fail: then no call of theirs ever
//	           returned after the cut
//
// When standard input ends, so does the program, and the place is empty again. To
// go on after a cut, start it again. It prints "ready" first.
//
// What is volatile, and what may become of it, is described at [file] for contents
// and at [journal] for names. The same seed makes the same choices of the same
// state.
package main

import (
	"bufio"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/hanwen/go-fuse/v2/fs"
	"github.com/hanwen/go-fuse/v2/fuse"
)

func main() {
	var o options
	flag.StringVar(&o.from, "from", "", "the folder that is shown; a folder of this name with .lost appended is used, too, and removed at the end")
	flag.StringVar(&o.at, "at", "", "where it is shown: an empty folder")
	flag.BoolVar(&o.strict, "strict", false, "a name is durable only once its folder was synced, as POSIX has it; without it, as on ext4 and XFS, also once its file was")
	flag.DurationVar(&o.syncTakes, "sync-takes", 0, "how long each sync takes, such as 500us")
	flag.Uint64Var(&o.seed, "seed", rand.Uint64(), "seed of what becomes of what was not synced")
	flag.Parse()
	if err := serve(o); err != nil {
		fmt.Fprintln(os.Stderr, "powerfs:", err)
		os.Exit(1)
	}
}

type options struct {
	from, at  string
	strict    bool
	syncTakes time.Duration
	seed      uint64
}

func serve(o options) (err error) {
	if o.from == "" || o.at == "" {
		return errors.New("-from and -at are needed")
	}
	d, err := newDisk(o)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, d.close()) }()
	server, err := mount(d, o.at)
	if err != nil {
		return err
	}
	// An interrupt of the terminal reaches this program, too. It stays until its
	// input ends, because whoever started it has to end the users of the mount first.
	signal.Ignore(os.Interrupt, syscall.SIGTERM)
	fmt.Println("ready")
	for lines := bufio.NewScanner(os.Stdin); lines.Scan(); {
		fmt.Println(d.obey(strings.TrimSpace(lines.Text())))
	}
	d.fail() // so that no call is left waiting
	return unmount(server, o.at)
}

func mount(d *disk, at string) (*fuse.Server, error) {
	root, err := fs.NewLoopbackRoot(d.dir)
	if err != nil {
		return nil, err
	}
	cached := time.Minute // nothing changes but through the mount
	server, err := fs.Mount(at, &node{root.(*fs.LoopbackNode), d}, &fs.Options{
		EntryTimeout: &cached, AttrTimeout: &cached,
		MountOptions: fuse.MountOptions{FsName: d.dir, Name: "powerfs", DirectMount: true, DisableXAttrs: true},
	})
	if err != nil {
		return nil, fmt.Errorf("mount at %s: %w", at, err)
	}
	return server, nil
}

// unmount unmounts the place even if somebody still uses it: it has failed for them.
func unmount(server *fuse.Server, at string) error {
	err := server.Unmount()
	if err == nil {
		return nil
	}
	if lazily := syscall.Unmount(at, syscall.MNT_DETACH); lazily != nil {
		return errors.Join(err, lazily)
	}
	return nil
}

func (d *disk) obey(command string) string {
	switch command {
	case "cut":
		r, err := d.cut()
		if err != nil {
			return "error: " + err.Error()
		}
		return "cut " + r.String()
	case "fail":
		d.fail()
		return "fail"
	case "sync":
		if err := d.syncAll(); err != nil {
			return "error: " + err.Error()
		}
		return "sync"
	}
	return "error: sync, cut or fail"
}
