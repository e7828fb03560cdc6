package keyring

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
)

// createFile makes a file that only its owner may read, whole or not at all, even in a power
// cut. The error is fs.ErrExist if there is one already.
func createFile(path string, data []byte) error {
	return writeFile(path, data, nil, os.Link)
}

// replaceFile replaces the content of a file, as createFile makes one. Its mode and its owner
// stay, so that whoever reads it can go on. A symbolic link stays, too: the file that it leads
// to is replaced. After an error before that, nothing has changed.
func replaceFile(path string, data []byte) error {
	file, err := filepath.EvalSymlinks(path)
	if err != nil {
		return fmt.Errorf("key-encryption keys: %w", err)
	}
	old, err := os.Stat(file)
	if err != nil {
		return fmt.Errorf("key-encryption keys: %w", err)
	}
	return writeFile(file, data, old, os.Rename)
}

// writeFile writes a file beside path, with the mode and the owner of another one, if that is
// not nil, and has place put it there: os.Rename replaces what is there, and os.Link fails if
// there is something.
func writeFile(path string, data []byte, like os.FileInfo, place func(written, path string) error) error {
	written, err := os.CreateTemp(filepath.Dir(path), ".kek-*") // with the mode 0600
	if err != nil {
		return fmt.Errorf("key-encryption keys: %w", err)
	}
	defer os.Remove(written.Name())
	if like != nil {
		err = giveTo(written, like)
	}
	if err == nil {
		_, err = written.Write(data)
	}
	if err := errors.Join(err, written.Sync(), written.Close()); err != nil {
		return fmt.Errorf("key-encryption keys: %w", err)
	}
	if err := place(written.Name(), path); err != nil {
		return fmt.Errorf("key-encryption keys: %w", err)
	}
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return fmt.Errorf("key-encryption keys: %w", err)
	}
	return errors.Join(dir.Sync(), dir.Close())
}

// giveTo gives a new file the owner, the group and the mode of another one.
func giveTo(written *os.File, like os.FileInfo) error {
	is, err := written.Stat()
	if err != nil {
		return err
	}
	want, have := like.Sys().(*syscall.Stat_t), is.Sys().(*syscall.Stat_t)
	if want.Uid != have.Uid || want.Gid != have.Gid {
		if err := written.Chown(int(want.Uid), int(want.Gid)); err != nil {
			return fmt.Errorf("the file belongs to user %d and group %d, and its new version cannot be given to them: run the command as that user, or as root: %w", want.Uid, want.Gid, err)
		}
	}
	return written.Chmod(like.Mode().Perm())
}
