package main

import (
	"fmt"
	"log/slog"
	"syscall"
)

// How many files a process must be able to have open. All of lonja up has some
// hundred open at rest, and a view that is built anew another dozen; everybody who
// is connected is one more.
const (
	filesOfUp   = 512
	filesOfPart = 128
	filesOfMany = 2048 // with fewer, a crowd may find the door closed
)

// enoughFiles makes sure that this process may open so many files. Go has raised
// the soft limit to the hard one by now; only whoever starts the process can raise
// that.
func enoughFiles(least uint64) error {
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		return fmt.Errorf("limit of open files: %w", err)
	}
	allowed := uint64(limit.Cur) //nolint:unconvert // the types differ between systems
	if allowed < least {
		return fmt.Errorf("only %d open files are allowed, and %d is the least: raise the limit (ulimit -n, LimitNOFILE)", allowed, least)
	}
	if allowed < filesOfMany {
		slog.Warn("few open files are allowed, and each connection takes one; raise the limit (ulimit -n, LimitNOFILE)", "allowed", allowed)
	}
	return nil
}
