package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"
)

// part is a program that the shop consists of: how it is started, again and
// again the same way, and the process that runs, if one does.
type part struct {
	name    string
	program string
	args    []string
	env     []string // besides ours
	log     string   // file that all output is added to
	proxy   *proxy   // what it reaches NATS through, or nil
	toReady time.Duration
	cmd     *exec.Cmd
	exited  chan struct{}
}

// startTimeout is how long a part may take until it is ready.
const startTimeout = 40 * time.Second

// start starts the part and waits for a line that begins with "ready".
func (p *part) start() error {
	log, err := os.OpenFile(p.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	p.cmd = exec.Command(p.program, p.args...)
	p.cmd.Env, p.cmd.Stderr = append(environment(), p.env...), log
	dieWithUs(p.cmd)
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		return err
	}
	began := time.Now()
	if err := p.cmd.Start(); err != nil {
		return err
	}
	ready, exited := make(chan struct{}), make(chan struct{})
	p.exited = exited
	go func() {
		defer close(exited)
		defer log.Close()
		lines := bufio.NewScanner(io.TeeReader(out, log))
		for lines.Scan() {
			if strings.HasPrefix(lines.Text(), "ready") {
				close(ready)
				break
			}
		}
		_, _ = io.Copy(log, out)
		_ = p.cmd.Wait()
	}()
	select {
	case <-ready:
		p.toReady = time.Since(began)
		return nil
	case <-exited:
		return fmt.Errorf("%s ended before it was ready; see %s", p.name, p.log)
	case <-time.After(startTimeout):
		return fmt.Errorf("%s was not ready after %v; see %s", p.name, startTimeout, p.log)
	}
}

// environment is ours, without what would configure lonja.
func environment() []string {
	var env []string
	for _, v := range os.Environ() {
		if !strings.HasPrefix(v, "LONJA_") {
			env = append(env, v)
		}
	}
	return env
}

// kill ends the process as a power cut of its own would, and waits for it.
func (p *part) kill() {
	if p.cmd == nil || p.cmd.Process == nil {
		return
	}
	_ = p.cmd.Process.Kill()
	<-p.exited
}

// stopWithin is how long a part may take to end after SIGTERM.
const stopWithin = 6 * time.Second

// stop asks the process to end; it is an error when that takes too long or
// ends badly.
func (p *part) stop() error {
	if err := p.signal(syscall.SIGTERM); err != nil {
		return err
	}
	select {
	case <-p.exited:
	case <-time.After(stopWithin):
		p.kill()
		return fmt.Errorf("%s still ran %v after SIGTERM", p.name, stopWithin)
	}
	if code := p.cmd.ProcessState.ExitCode(); code != 0 {
		return fmt.Errorf("%s ended with code %d after SIGTERM; see %s", p.name, code, p.log)
	}
	return nil
}

func (p *part) signal(s os.Signal) error {
	if err := p.cmd.Process.Signal(s); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("signal %v to %s: %w", s, p.name, err)
	}
	return nil
}
