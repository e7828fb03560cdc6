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
	maxStore   = 64 << 30 // bytes, the limit of a store without Config.MaxStore
	maxReserve = 64 << 20 // bytes, kept free on a large disk
)

// limit returns how large the store may grow, in bytes; see storeLimit.
func (c Config) limit() (int64, error) {
	if c.MaxStore > 0 {
		return c.MaxStore, nil
	}
	used, err := sizeOf(c.Dir)
	if err != nil {
		return 0, err
	}
	shared := used
	if c.SharedDir != "" {
		if shared, err = sizeOf(c.SharedDir); err != nil {
			return 0, err
		}
	}
	free, total, err := diskSpace(c.Dir)
	if err != nil {
		return 0, err
	}
	limit, err := storeLimit(used, shared, free, total)
	if err != nil {
		return 0, fmt.Errorf("%s: %w", c.Dir, err)
	}
	return limit, nil
}

// storeLimit returns how large a store may grow, in bytes. Used is its size now,
// shared the size of everything that grows with it, itself included, and free and
// total describe the disk.
//
// The limit is half of what is shared and free, less the reserve. The other half is
// for views, which take about half of what the log takes, and twice that during a
// rebuild. If the limit exceeded the disk, the server would fail when that is full,
// instead of rejecting messages. The limit is never below what the store holds. The
// error is ErrFull if an empty store has no room to start.
func storeLimit(used, shared, free, total int64) (int64, error) {
	room := free - reserve(total)
	if room <= 0 && used < fullMargin {
		return 0, fmt.Errorf("%w: %d MiB are free, and more than %d MiB are required to start; free some space", ErrFull, free>>20, reserve(total)>>20)
	}
	return max(used, min((shared+room)/2, maxStore)), nil
}

// reserve returns how many bytes are kept free on a disk. With less than that the
// disk counts as full, so that work in progress can still be completed.
func reserve(total int64) int64 { return min(maxReserve, total/16) }

// sizeOf returns how many bytes the files below a folder hold. Files that are
// removed during the call do not count.
func sizeOf(dir string) (size int64, err error) {
	err = filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return ignoreMissing(err)
		}
		info, err := d.Info()
		if err == nil {
			size += info.Size()
		}
		return ignoreMissing(err)
	})
	return size, err
}

func ignoreMissing(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// diskSpace returns the free and total bytes of the disk that a folder is on.
func diskSpace(dir string) (free, total int64, err error) {
	var stat syscall.Statfs_t
	if err := syscall.Statfs(dir, &stat); err != nil {
		return 0, 0, fmt.Errorf("free space of %s: %w", dir, err)
	}
	block := int64(stat.Bsize) //nolint:unconvert // the types differ between systems
	return int64(stat.Bavail) * block, int64(stat.Blocks) * block, nil
}

// tryDisk returns an error unless the disk can write and sync a new file.
func tryDisk(dir string) (err error) {
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
