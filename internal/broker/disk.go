package broker

import (
	"fmt"
	"os"
	"syscall"
)

const mostStore = 64 << 30

// defaultMaxStore is three quarters of the free space around dir, at most 64
// GiB: with a limit beyond the disk the server would freeze when it is full,
// instead of saying so.
func defaultMaxStore(dir string) (int64, error) {
	if err := os.MkdirAll(dir, 0o750); err != nil {
		return 0, err
	}
	var fs syscall.Statfs_t
	if err := syscall.Statfs(dir, &fs); err != nil {
		return 0, fmt.Errorf("free space of %s: %w", dir, err)
	}
	free := int64(fs.Bavail) * int64(fs.Bsize) //nolint:unconvert // the types differ between systems
	return min(free/4*3, mostStore), nil
}
