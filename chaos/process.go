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

// part is one program of the shop: how to start it, and its process if one runs.
type part struct {
	name    string
	service string // that it runs; "" for another kind of part
	program string
	args    []string
	env     []string // in addition to the environment of this program
	log     string   // file that all output is appended to
	proxy   *proxy   // proxy between the part and NATS, or nil
	toReady time.Duration
	cmd     *exec.Cmd
	exited  chan struct{}
}

// startTimeout is how long a part may take until it is ready.
const startTimeout = 40 * time.Second

// start starts the part and waits for a line that begins with "ready". A service that the
// program, an earlier version, does not have is not started; then stop and kill do nothing.
func (p *part) start() error {
	if p.service != "" {
		if has, err := hasService(p.program, p.service); err != nil || !has {
			p.cmd = nil
			return err
		}
	}
	began := time.Now()
	ready, err := p.launch()
	if err != nil {
		return err
	}
	select {
	case <-ready:
		p.toReady = time.Since(began)
		return nil
	case <-p.exited:
		return fmt.Errorf("%s ended before it was ready; see %s", p.name, p.log)
	case <-time.After(startTimeout):
		return fmt.Errorf("%s was not ready after %v; see %s", p.name, startTimeout, p.log)
	}
}

// launch starts the part. Ready is closed when it reports that it is ready.
func (p *part) launch() (ready chan struct{}, err error) {
	log, err := os.OpenFile(p.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return nil, err
	}
	p.cmd = exec.Command(p.program, p.args...)
	p.cmd.Env, p.cmd.Stderr = append(environment(), p.env...), log
	dieWithUs(p.cmd)
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := p.cmd.Start(); err != nil {
		return nil, err
	}
	ready = make(chan struct{})
	exited := make(chan struct{})
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
	return ready, nil
}

// environment returns this program's environment without variables for lonja.
func environment() []string {
	var env []string
	for _, v := range os.Environ() {
		if !strings.HasPrefix(v, "LONJA_") {
			env = append(env, v)
		}
	}
	return env
}

// kill ends the process with SIGKILL and waits for it.
func (p *part) kill() {
	if p.cmd == nil || p.cmd.Process == nil {
		return
	}
	_ = p.cmd.Process.Kill()
	<-p.exited
}

// stopTimeout is how long a part may take to end after SIGTERM.
const stopTimeout = 6 * time.Second

// stop ends the process with SIGTERM. The error reports that it took too long or
// that its exit code is not 0.
func (p *part) stop() error {
	if p.cmd == nil {
		return nil
	}
	if err := p.signal(syscall.SIGTERM); err != nil {
		return err
	}
	select {
	case <-p.exited:
	case <-time.After(stopTimeout):
		p.kill()
		return fmt.Errorf("%s still ran %v after SIGTERM", p.name, stopTimeout)
	}
	if code := p.cmd.ProcessState.ExitCode(); code != 0 {
		return fmt.Errorf("%s ended with code %d after SIGTERM; see %s", p.name, code, p.log)
	}
	return nil
}

func (p *part) signal(s os.Signal) error {
	if p.cmd == nil {
		return nil
	}
	if err := p.cmd.Process.Signal(s); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("signal %v to %s: %w", s, p.name, err)
	}
	return nil
}
