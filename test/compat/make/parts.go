package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"lonja"
	"lonja/kit/keyring"
	"lonja/kit/natsembed"
	"lonja/shop"
	"lonja/test/compat"
)

const (
	natsAddr = "127.0.0.1:24222"
	httpAddr = "127.0.0.1:28080"
)

// openShop starts every part of a shop as a process of its own, in the folder that
// `lonja up` would use. It returns the shop after an error, too, if parts of it run.
func openShop(ctx context.Context, p programs, dir string) (*parts, error) {
	s := &parts{programs: p, dir: dir, running: map[string]*part{}}
	if err := os.RemoveAll(s.data()); err != nil {
		return nil, err
	}
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	if err := s.start("nats", self, natsFlag, filepath.Join(s.data(), "nats")); err != nil {
		return s, err
	}
	if out, err := s.tool(ctx, "streams", "apply"); err != nil {
		return s, fmt.Errorf("%w\n%s", err, out)
	}
	if _, err := keyring.CreateKEKs(s.kekFile()); err != nil {
		return s, err
	}
	for _, name := range shop.Names() {
		if err := s.serve(name); err != nil {
			return s, err
		}
	}
	return s, s.start("gateway", p.lonja, "gateway", "--nats", natsURL, "--http", httpAddr, "--public-url", compat.PublicURL, "--sandbox")
}

const natsURL = "nats://" + natsAddr

// parts are the parts of a shop.
type parts struct {
	programs
	dir     string
	running map[string]*part
}

func (s *parts) data() string { return filepath.Join(s.dir, "data") }

// kekFile is the file of the key-encryption keys, where `lonja up` has it.
func (s *parts) kekFile() string { return filepath.Join(s.data(), "kek") }

// serve starts a service, or starts it anew, with flags.
func (s *parts) serve(name string, flags ...string) error {
	return s.serveWith(s.lonja, name, flags...)
}

func (s *parts) serveWith(program, name string, flags ...string) error {
	s.killPart(name)
	args := []string{"service", name, "--nats", natsURL, "--data", s.data(), "--sandbox", "--admin-email", adminEmail, "--admin-password", firstPassword, "--kek-file", s.kekFile()}
	return s.start(name, program, append(args, flags...)...)
}

// tool runs the program as an operator does.
func (s *parts) tool(ctx context.Context, args ...string) (out []byte, err error) {
	cmd := exec.CommandContext(ctx, s.lonja, append(args, "--nats", natsURL)...)
	if out, err = cmd.CombinedOutput(); err != nil {
		err = fmt.Errorf("lonja %s: %w", strings.Join(args, " "), err)
	}
	return out, err
}

// setPassword sets an account's password as an operator does.
func (s *parts) setPassword(ctx context.Context, email, password string) error {
	file := filepath.Join(s.dir, "password")
	if err := os.WriteFile(file, []byte(password), 0o600); err != nil {
		return err
	}
	if out, err := s.tool(ctx, "admin", "password", "--email", email, "--password-file", file); err != nil {
		return fmt.Errorf("%w\n%s", err, out)
	}
	return nil
}

// part is a process.
type part struct {
	cmd    *exec.Cmd
	exited chan struct{}
}

// start starts a process and waits until it prints a line that begins with "ready".
func (s *parts) start(name, program string, args ...string) error {
	log, err := os.OpenFile(s.logFile(name), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	cmd := exec.Command(program, args...)
	cmd.Stderr = log
	out, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	p, ready := &part{cmd, make(chan struct{})}, make(chan struct{})
	s.running[name] = p
	go func() {
		defer close(p.exited)
		defer log.Close()
		for lines := bufio.NewScanner(out); lines.Scan(); {
			if strings.HasPrefix(lines.Text(), "ready") {
				close(ready)
				break
			}
		}
		_, _ = io.Copy(log, out)
		_ = cmd.Wait()
	}()
	select {
	case <-ready:
		return nil
	case <-p.exited:
	case <-time.After(30 * time.Second):
	}
	return fmt.Errorf("%s did not get ready; see %s", name, s.logFile(name))
}

func (s *parts) logFile(name string) string { return filepath.Join(s.dir, name+".log") }

// killPart ends a part with SIGKILL, if it runs.
func (s *parts) killPart(name string) {
	if p := s.running[name]; p != nil {
		_ = p.cmd.Process.Kill()
		<-p.exited
		delete(s.running, name)
	}
}

// kill ends all parts with SIGKILL: first the one that all others need, so that none can
// finish anything.
func (s *parts) kill() {
	s.killPart("nats")
	for name := range s.running {
		s.killPart(name)
	}
}

// natsFlag makes this program run as a NATS server with a store in a folder: so the server
// is a process that can be killed.
const natsFlag = "--be-a-nats-server"

// runNATS runs a NATS server and returns true if this process was started as one.
func runNATS() bool {
	if len(os.Args) != 3 || os.Args[1] != natsFlag {
		return false
	}
	if err := serveNATS(os.Args[2]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	return true
}

func serveNATS(dir string) error {
	b, err := natsembed.Start(natsembed.Config{Name: lonja.Name, Dir: dir, Addr: natsAddr, SyncAlways: true})
	if err != nil {
		return err
	}
	fmt.Println("ready", b.URL())
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	defer stop()
	<-ctx.Done()
	b.Stop()
	return errors.New("interrupted")
}
