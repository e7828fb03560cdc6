package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
)

// programs are the paths of what a commit was built to.
type programs struct {
	lonja string
	// patient is the same program but for one constant: its sessions last for a hundred
	// years. So a test can use their refresh tokens whenever it runs.
	patient string
}

// Where the length of a session is set, and to what.
const (
	sessionFile = "services/identity/state.go"
	sessionLife = "const sessionLife = 30 * 24 * time.Hour"
	longLife    = "const sessionLife = 100 * 365 * 24 * time.Hour"
)

// build builds the programs of a commit. It uses those again that are in the folder.
func build(ctx context.Context, commit, dir string) (p programs, err error) {
	p = programs{filepath.Join(dir, "lonja-"+commit), filepath.Join(dir, "patient-"+commit)}
	if _, err := os.Stat(p.patient); err == nil {
		return p, nil
	}
	source := filepath.Join(dir, "source-"+commit)
	if err := checkOut(ctx, commit, source); err != nil {
		return p, err
	}
	if err := goBuild(ctx, source, p.lonja); err != nil {
		return p, err
	}
	file := filepath.Join(source, sessionFile)
	text, err := os.ReadFile(file)
	if err != nil {
		return p, err
	}
	if n := bytes.Count(text, []byte(sessionLife)); n != 1 {
		return p, fmt.Errorf("%s of %s has %q %d times, not once: adapt sessionFile and sessionLife in test/compat/make/build.go", sessionFile, commit, sessionLife, n)
	}
	if err := os.WriteFile(file, bytes.Replace(text, []byte(sessionLife), []byte(longLife), 1), 0o644); err != nil {
		return p, err
	}
	return p, goBuild(ctx, source, p.patient)
}

// checkOut writes the files of a commit into a folder.
func checkOut(ctx context.Context, commit, dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	var archive bytes.Buffer
	git := exec.CommandContext(ctx, "git", "archive", "--format=tar", commit)
	git.Stdout, git.Stderr = &archive, os.Stderr
	if err := git.Run(); err != nil {
		return fmt.Errorf("git archive %s: %w", commit, err)
	}
	unpack := exec.CommandContext(ctx, "tar", "-x", "-C", dir)
	unpack.Stdin, unpack.Stderr = &archive, os.Stderr
	if err := unpack.Run(); err != nil {
		return fmt.Errorf("tar -x: %w", err)
	}
	return nil
}

func goBuild(ctx context.Context, source, program string) error {
	cmd := exec.CommandContext(ctx, "go", "build", "-buildvcs=false", "-o", program, "./cmd/lonja")
	cmd.Dir = source
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("go build in %s: %w\n%s", source, err, out)
	}
	return nil
}
