package natsembed

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
)

// ErrInUse reports that another process, or another call in this one, has locked
// the folder.
var ErrInUse = errors.New("in use by another process")

// CheckDir returns an error if a folder could never be locked, for instance because
// it cannot be created or written to. It creates the folder if it is missing. A
// folder in use and a full disk are not errors, because both can pass.
func CheckDir(dir string) error {
	release, err := LockDir(dir)
	if err == nil {
		release()
	}
	if errors.Is(err, ErrInUse) || errors.Is(err, syscall.ENOSPC) {
		return nil
	}
	return err
}

func unusable(dir string, err error) error {
	return fmt.Errorf("%s cannot be used: %w; make it a folder that this process can write to, or choose another one", dir, err)
}

// LockDir locks a folder for this process, and creates it if it is missing. The lock
// ends when release is called, or when the process ends for any reason, so that a
// crash leaves nothing to clean up. It does not wait: if the folder is locked
// already, the error wraps [ErrInUse] and names the folder.
//
// The lock is advisory: it keeps out only those who call LockDir. A file named
// .lock stays in the folder.
func LockDir(dir string) (release func(), err error) {
	if err := os.MkdirAll(dir, 0o750); err != nil {
		return nil, unusable(dir, err)
	}
	f, err := os.OpenFile(filepath.Join(dir, ".lock"), os.O_CREATE|os.O_RDWR, 0o640)
	if err != nil {
		return nil, unusable(dir, err)
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		f.Close()
		if errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, fmt.Errorf("%s is %w; stop that process, or choose another folder", dir, ErrInUse)
		}
		return nil, fmt.Errorf("lock %s: %w", dir, err)
	}
	return func() { f.Close() }, nil
}
