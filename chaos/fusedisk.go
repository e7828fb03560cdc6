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

// fuseDisk is a folder that a program of tools/ shows at another place, through
// FUSE. The program unmounts it when its standard input ends, so also when this
// process is killed.
type fuseDisk struct {
	cmd      *exec.Cmd
	commands io.WriteCloser
	answers  *bufio.Scanner
}

// buildTool builds a program of tools/ in a folder.
func buildTool(ctx context.Context, dir, name string) (program string, err error) {
	root, err := exec.CommandContext(ctx, "go", "env", "GOMOD").Output()
	if err := errors.Join(err, os.MkdirAll(dir, 0o755)); err != nil {
		return "", err
	}
	return goBuild(ctx, filepath.Join(dir, name), "./"+name, "-C", filepath.Join(filepath.Dir(string(root)), "tools"))
}

// mountDisk shows a folder, which is created if it is missing, at an empty one. It
// requires /dev/fuse, and root or fusermount.
func mountDisk(program, from, at string, flags ...string) (d *fuseDisk, err error) {
	if err := os.MkdirAll(from, 0o755); err != nil {
		return nil, err
	}
	d = &fuseDisk{cmd: exec.Command(program, append([]string{"-from", from, "-at", at}, flags...)...)}
	var stderr strings.Builder
	d.cmd.Stderr = &stderr
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

// command sends the disk a command, waits until it is carried out, and returns what
// follows the command's word in the answer.
func (d *fuseDisk) command(order string) (answer string, err error) {
	if _, err := fmt.Fprintln(d.commands, order); err != nil {
		return "", err
	}
	word, _, _ := strings.Cut(order, " ")
	if !d.answers.Scan() {
		return "", fmt.Errorf("the disk does not answer to %q", order)
	}
	answer, ok := strings.CutPrefix(d.answers.Text(), word)
	if !ok {
		return "", fmt.Errorf("the disk answers %q to %q", d.answers.Text(), order)
	}
	return strings.TrimSpace(answer), nil
}

// unmount unmounts the disk, which must not be in use.
func (d *fuseDisk) unmount() error { return errors.Join(d.commands.Close(), d.cmd.Wait()) }
