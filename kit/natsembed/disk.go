package natsembed

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
)

const (
	mostStore   = 64 << 30
	mostReserve = 64 << 20
)

// limit is how large the store may grow; see share.
func (c Config) limit() (int64, error) {
	if c.MaxStore > 0 {
		return c.MaxStore, nil
	}
	used, err := sizeOf(c.Dir)
	if err != nil {
		return 0, err
	}
	shared := used
	if c.Shared != "" {
		if shared, err = sizeOf(c.Shared); err != nil {
			return 0, err
		}
	}
	free, total, err := freeAround(c.Dir)
	if err != nil {
		return 0, err
	}
	limit, err := share(used, shared, free, total)
	if err != nil {
		return 0, fmt.Errorf("%s: %w", c.Dir, err)
	}
	return limit, nil
}

// share is how large a store may grow that holds so much now, together with what
// grows with it, on a disk with so much left: half of all that, without the reserve.
// The rest is for the views. They take about half of what the log takes, and one
// that is built anew is there twice. With a limit beyond the disk the server would
// break when that is full, instead of saying so. A store is never told to hold less
// than it does; one that could not begin is an ErrDeadLettersFull.
func share(used, shared, free, total int64) (int64, error) {
	room := free - reserve(total)
	if room <= 0 && used < margin {
		return 0, fmt.Errorf("%w: %d MiB are free, and more than %d MiB are needed to begin; make room", ErrFull, free>>20, reserve(total)>>20)
	}
	return max(used, min((shared+room)/2, mostStore)), nil
}

// reserve is what is kept free on a disk of a size: below it the disk counts as
// full, so that what was begun can still be finished.
func reserve(total int64) int64 { return min(mostReserve, total/16) }

// sizeOf is how many bytes the files in a folder hold.
func sizeOf(dir string) (size int64, err error) {
	err = filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return gone(err)
		}
		info, err := d.Info()
		if err == nil {
			size += info.Size()
		}
		return gone(err)
	})
	return size, err
}

// gone passes over what was removed while somebody looked.
func gone(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

func freeAround(dir string) (free, total int64, err error) {
	var stat syscall.Statfs_t
	if err := syscall.Statfs(dir, &stat); err != nil {
		return 0, 0, fmt.Errorf("free space of %s: %w", dir, err)
	}
	block := int64(stat.Bsize) //nolint:unconvert // the types differ between systems
	return int64(stat.Bavail) * block, int64(stat.Blocks) * block, nil
}

// try makes sure that a disk takes a file and syncs it.
func try(dir string) (err error) {
	f, err := os.CreateTemp(dir, ".try-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close(), os.Remove(f.Name())) }()
	if _, err := f.Write(make([]byte, 64<<10)); err != nil {
		return err
	}
	return f.Sync()
}
