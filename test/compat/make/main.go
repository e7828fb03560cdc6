// Command make writes an archive of a log for the tests of package compat. It builds the
// program of a commit, opens a shop with it, lets people use all of it, kills every part
// with SIGKILL, and packs the data folder and what was asked and answered.
//
//	go run ./test/compat/make --commit b9b4279
//
// It takes about a minute, and needs git and the history of the commit.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
)

func main() {
	if runNATS() {
		return
	}
	commit := flag.String("commit", "HEAD", "the commit whose program writes the log")
	out := flag.String("out", "test/compat/testdata", "folder for the archive, log-COMMIT.tar.gz")
	keep := flag.String("keep", "", "work in this folder, and leave it; builds in it are used again")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, *commit, *out, *keep); err != nil {
		fmt.Fprintln(os.Stderr, "make:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, commit, out, keep string) (err error) {
	short, err := exec.CommandContext(ctx, "git", "rev-parse", "--short=7", commit).Output()
	if err != nil {
		return fmt.Errorf("--commit %s: git rev-parse: %w", commit, err)
	}
	name := strings.TrimSpace(string(short))
	dir := keep
	if keep == "" {
		if dir, err = os.MkdirTemp("", "lonja-compat-"); err != nil {
			return err
		}
		defer os.RemoveAll(dir)
	} else if dir, err = filepath.Abs(keep); err != nil {
		return err
	}
	built, err := build(ctx, name, dir)
	if err != nil {
		return err
	}
	s, err := openShop(ctx, built, dir)
	if s != nil {
		defer s.kill()
	}
	if err != nil {
		return err
	}
	t := newTale(s, name)
	if err := t.tell(ctx); err != nil {
		return fmt.Errorf("%w (with --keep DIR, what the parts logged is left in DIR)", err)
	}
	s.kill()
	archive := filepath.Join(out, "log-"+name+".tar.gz")
	size, err := pack(archive, s.data(), t.record)
	if err != nil {
		return err
	}
	fmt.Printf("%s: %.2f MB, %d event types, %d requests with a key, %d reads, %d deferred commands\n",
		archive, float64(size)/1e6, len(t.record.Types), len(t.record.Keyed), len(t.record.Reads), len(t.record.Deferred))
	return nil
}
