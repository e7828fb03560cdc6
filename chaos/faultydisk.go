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

// faultyDisk is a folder that tools/faultyfs mounts at another place.
type faultyDisk struct {
	cmd      *exec.Cmd
	commands io.WriteCloser
	answers  *bufio.Scanner
	failed   int // calls
}

// mountFaultyDisk mounts one. It requires /dev/fuse, and root or fusermount.
func mountFaultyDisk(ctx context.Context, dir, at string) (d *faultyDisk, err error) {
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
	var stderr strings.Builder
	d.cmd.Stderr = &stderr
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
	d.commands, d.answers = in, bufio.NewScanner(out)
	if !d.answers.Scan() {
		return nil, fmt.Errorf("%w: %s", d.unmount(), &stderr)
	}
	return d, nil
}

// command sends the disk a command and waits until it is carried out.
func (d *faultyDisk) command(order string) error {
	if _, err := fmt.Fprintln(d.commands, order); err != nil {
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

// unmount unmounts the disk, which must not be in use.
func (d *faultyDisk) unmount() error { return errors.Join(d.commands.Close(), d.cmd.Wait()) }

func (d *faultyDisk) String() string { return fmt.Sprintf("%d calls failed", d.failed) }
