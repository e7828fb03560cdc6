package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
)

// previousCommit is the version that mixed-versions mixes with the present one: the last one whose
// sessions are all on IDENTITY. With --old it may be an earlier one, such as 301d33b, which sealed
// no events and derived the ids of accounts from their addresses.
const previousCommit = "b9b4279"

// buildPrevious builds the previous version from git's history.
func buildPrevious(ctx context.Context, dir string) (program string, err error) {
	source := filepath.Join(dir, "source-"+previousCommit)
	if err := os.MkdirAll(source, 0o755); err != nil {
		return "", err
	}
	var archive, said bytes.Buffer
	git := exec.CommandContext(ctx, "git", "archive", "--format=tar", previousCommit)
	git.Dir, err = moduleRoot(ctx)
	if err != nil {
		return "", err
	}
	git.Stdout, git.Stderr = &archive, &said
	if err := git.Run(); err != nil {
		return "", fmt.Errorf("the version before, %s, cannot be built: git archive: %w: %s\nit needs git and the whole history (git fetch --unshallow); or give a lonja of that commit with --old",
			previousCommit, err, bytes.TrimSpace(said.Bytes()))
	}
	unpack := exec.CommandContext(ctx, "tar", "-x", "-C", source)
	unpack.Stdin = &archive
	if out, err := unpack.CombinedOutput(); err != nil {
		return "", fmt.Errorf("tar -x: %w\n%s", err, out)
	}
	program = filepath.Join(dir, "lonja-"+previousCommit)
	build := exec.CommandContext(ctx, "go", "build", "-buildvcs=false", "-o", program, "./cmd/lonja")
	build.Dir = source
	if out, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("go build of %s: %w\n%s", previousCommit, err, out)
	}
	return program, nil
}

// moduleRoot returns the folder of this module.
func moduleRoot(ctx context.Context) (string, error) {
	out, err := exec.CommandContext(ctx, "go", "list", "-m", "-f", "{{.Dir}}", "lonja").Output()
	if err != nil {
		return "", fmt.Errorf("go list: %w", err)
	}
	return string(bytes.TrimSpace(out)), nil
}

var eventType = regexp.MustCompile(`lonja\.[a-z_]+\.[a-z_]+\.v[0-9]+`)

// typesOf returns the event types that a program knows, sorted.
func typesOf(program string) ([]string, error) {
	out, err := exec.Command(program, "asyncapi").Output()
	if err != nil {
		return nil, fmt.Errorf("%s asyncapi: %w", program, err)
	}
	types := eventType.FindAllString(string(out), -1)
	slices.Sort(types)
	if types = slices.Compact(types); len(types) == 0 {
		return nil, errors.New("lonja asyncapi names no event types")
	}
	return types, nil
}

// services caches the answers of hasService.
var services sync.Map

// hasService reports whether a version of lonja has a service.
func hasService(program, name string) (bool, error) {
	help, known := services.Load(program)
	if !known {
		out, err := exec.Command(program, "service", "--help").CombinedOutput()
		if err != nil {
			return false, fmt.Errorf("%s service --help: %w", program, err)
		}
		help = strings.ReplaceAll(string(out), "\n", " ")
		services.Store(program, help)
	}
	return strings.Contains(help.(string), name), nil
}
