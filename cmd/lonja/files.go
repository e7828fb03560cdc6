package main

import (
	"fmt"
	"log/slog"
	"syscall"
)

// The number of files that a process must be able to open. An idle lonja up has
// about a hundred open, a view that is being rebuilt a dozen more, and every
// connection one more.
const (
	filesOfUp   = 512
	filesOfPart = 128
	filesOfMany = 2048 // with fewer, many clients at once may be rejected
)

// enoughFiles checks that this process may open at least that many files. Go has
// already raised the soft limit to the hard one, which only the parent process can
// raise.
func enoughFiles(least uint64) error {
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		return fmt.Errorf("limit of open files: %w", err)
	}
	allowed := uint64(limit.Cur) //nolint:unconvert // the types differ between systems
	if allowed < least {
		return fmt.Errorf("only %d open files are allowed, at least %d are needed: raise the limit (ulimit -n, LimitNOFILE)", allowed, least)
	}
	if allowed < filesOfMany {
		slog.Warn("the limit of open files is low, and each connection takes one; raise the limit (ulimit -n, LimitNOFILE)", "allowed", allowed)
	}
	return nil
}
