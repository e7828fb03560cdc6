package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// process is a running program that has printed its addresses.
type process struct {
	cmd   *exec.Cmd
	stdin io.Closer
	// output holds what the program printed before it was ready: the rest of each
	// line by its first word.
	output  map[string]string
	toReady time.Duration
	done    chan error
}

// startTimeout is how long a process may take until it is ready. With a million orders, views
// may be built first.
const startTimeout = 15 * time.Minute

// start starts a program and waits for a line that begins "ready". The program
// is killed when ctx ends.
func start(ctx context.Context, program string, args ...string) (*process, error) {
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Stderr = os.Stderr
	stdin, err := cmd.StdinPipe() // closed when this program ends or crashes, which ends a helper
	if err != nil {
		return nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	began := time.Now()
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	p := &process{cmd: cmd, stdin: stdin, output: map[string]string{}, done: make(chan error, 1)}
	ready := make(chan struct{})
	go func() {
		lines := bufio.NewScanner(out)
		for lines.Scan() {
			word, rest, _ := strings.Cut(lines.Text(), " ")
			if word == "ready" {
				close(ready)
				break
			}
			p.output[word] = strings.TrimSpace(rest)
		}
		io.Copy(io.Discard, out)
		p.done <- cmd.Wait()
	}()
	select {
	case <-ready:
		p.toReady = time.Since(began)
		return p, nil
	case err := <-p.done:
		return nil, fmt.Errorf("%s ended before it was ready: %w", program, errors.Join(err, ctx.Err()))
	case <-time.After(startTimeout):
		cmd.Process.Kill()
		return nil, fmt.Errorf("%s was not ready after %v", program, startTimeout)
	}
}

// stop ends the process as an operator would, and waits for it. A second call returns the
// same.
func (p *process) stop() error {
	p.cmd.Process.Signal(syscall.SIGTERM)
	p.stdin.Close()
	select {
	case err := <-p.done:
		p.done <- err
		return err
	case <-time.After(stopTimeout):
		p.kill()
		return fmt.Errorf("%s did not end in %v", p.cmd.Path, stopTimeout)
	}
}

// stopTimeout is how long a process may take to end.
const stopTimeout = time.Minute

// kill ends the process as a crash would, and waits for it.
func (p *process) kill() {
	p.cmd.Process.Kill()
	p.stdin.Close()
	p.done <- <-p.done
}

// ticksPerSecond is what Linux counts CPU time in, on every platform that Go runs on.
const ticksPerSecond = 100

// cpu returns the CPU time that the process has used.
func (p *process) cpu() (time.Duration, error) {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", p.cmd.Process.Pid))
	if err != nil {
		return 0, err
	}
	// The name, in parentheses, may contain spaces; utime and stime are the
	// 12th and 13th field after it.
	_, rest, _ := strings.Cut(string(stat), ") ")
	fields := strings.Fields(rest)
	if len(fields) < 13 {
		return 0, fmt.Errorf("/proc/%d/stat has an unknown format", p.cmd.Process.Pid)
	}
	user, err1 := strconv.ParseInt(fields[11], 10, 64)
	system, err2 := strconv.ParseInt(fields[12], 10, 64)
	return time.Duration(user+system) * time.Second / ticksPerSecond, errors.Join(err1, err2)
}

// memory returns the process's present and peak resident memory in bytes.
func (p *process) memory() (now, peak int64, err error) { return memoryOf(p.cmd.Process.Pid) }

// memoryOf returns a process's present and peak resident memory in bytes; 0 when it has ended.
func memoryOf(pid int) (now, peak int64, err error) {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, 0, err
	}
	for line := range strings.Lines(string(status)) {
		fields := strings.Fields(line)
		if len(fields) < 2 {
			continue
		}
		kilobytes, _ := strconv.ParseInt(fields[1], 10, 64)
		switch fields[0] {
		case "VmRSS:":
			now = kilobytes << 10
		case "VmHWM:":
			peak = kilobytes << 10
		}
	}
	return now, peak, nil
}

// ownCPU returns the CPU time that this process has used.
func ownCPU() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
