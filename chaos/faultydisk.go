package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// faultyDisk is a folder that is shown at another place by tools/faultyfs.
type faultyDisk struct {
	cmd     *exec.Cmd
	orders  io.WriteCloser
	answers *bufio.Scanner
	failed  int // calls
}

// faulty mounts one. It takes /dev/fuse, and root or fusermount.
func faulty(ctx context.Context, dir, at string) (d *faultyDisk, err error) {
	beneath := filepath.Join(dir, "beneath")
	root, err := exec.CommandContext(ctx, "go", "env", "GOMOD").Output()
	if err := errors.Join(err, os.MkdirAll(beneath, 0o755)); err != nil {
		return nil, err
	}
	program, err := goBuild(ctx, filepath.Join(dir, "faultyfs"), "./faultyfs", "-C", filepath.Join(filepath.Dir(string(root)), "tools"))
	if err != nil {
		return nil, err
	}
	d = &faultyDisk{cmd: exec.Command(program, "-from", beneath, "-at", at)}
	var said strings.Builder
	d.cmd.Stderr = &said
	dieWithUs(d.cmd)
	in, err := d.cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := d.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := d.cmd.Start(); err != nil {
		return nil, err
	}
	d.orders, d.answers = in, bufio.NewScanner(out)
	if !d.answers.Scan() {
		return nil, fmt.Errorf("%w: %s", d.end(), &said)
	}
	return d, nil
}

// tell gives the disk an order and waits until it has obeyed.
func (d *faultyDisk) tell(order string) error {
	if _, err := fmt.Fprintln(d.orders, order); err != nil {
		return err
	}
	word, _, _ := strings.Cut(order, " ")
	if !d.answers.Scan() || !strings.HasPrefix(d.answers.Text(), word) {
		return fmt.Errorf("the disk answers %q to %q", d.answers.Text(), order)
	}
	var n int
	if _, err := fmt.Sscanf(d.answers.Text(), "mend %d", &n); err == nil {
		d.failed += n
	}
	return nil
}

// end takes the disk away; nobody may use it any more.
func (d *faultyDisk) end() error { return errors.Join(d.orders.Close(), d.cmd.Wait()) }

func (d *faultyDisk) String() string { return fmt.Sprintf("%d calls failed", d.failed) }
