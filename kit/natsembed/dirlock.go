// Package dirlock keeps two processes from using one folder.
package natsembed

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
)

// ErrInUse means that another process has the folder.
var ErrInUse = errors.New("in use by another process")

// CheckDir makes sure that a folder can be taken by whoever comes first, making it
// when it is missing. A full disk is no hindrance: it may have room again.
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
	return fmt.Errorf("%s cannot be used: %w; make it a folder that this process may write to, or take another one", dir, err)
}

// LockDir takes a folder, making it when it is missing. It is free again when
// release is called or the process ends, however it does. It is an error that
// says so when another process has it.
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
			return nil, fmt.Errorf("%s is %w; stop that, or take another folder", dir, ErrInUse)
		}
		return nil, fmt.Errorf("lock %s: %w", dir, err)
	}
	return func() { f.Close() }, nil
}
