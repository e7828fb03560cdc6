package rewrite

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"
)

// The folders and files of a data folder that matter here.
const (
	natsFolder     = "nats"
	kekFile        = "kek"
	identityFolder = "identity" // the views of the service that reads the stream of the accounts
)

// inStream reports whether a path in a data folder belongs to one of some streams:
// "nats/jetstream/$G/streams/IDENTITY/…".
func inStream(path string, streams ...string) bool {
	for dir := filepath.Clean(path); dir != "." && dir != string(filepath.Separator); dir = filepath.Dir(dir) {
		if filepath.Base(filepath.Dir(dir)) == "streams" && slices.Contains(streams, filepath.Base(dir)) {
			return true
		}
	}
	return false
}

// inside reports whether a path is a folder or in it.
func inside(path, folder string) bool {
	rel, err := filepath.Rel(folder, path)
	return err == nil && filepath.IsLocal(rel)
}

// copyTree copies the files of a folder that are wanted, by their path in it, with their modes.
// It copies nothing but folders and regular files; the error names anything else.
func copyTree(ctx context.Context, from, to string, wanted func(path string) bool) error {
	return filepath.WalkDir(from, func(path string, d fs.DirEntry, err error) error {
		if err = errors.Join(err, ctx.Err()); err != nil {
			return err
		}
		rel, err := filepath.Rel(from, path)
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		target := filepath.Join(to, rel)
		switch {
		case d.IsDir():
			if rel != "." && !wanted(rel) {
				return fs.SkipDir
			}
			return os.MkdirAll(target, info.Mode().Perm()|0o700)
		case !wanted(rel):
			return nil
		case !info.Mode().IsRegular():
			return fmt.Errorf("%s is neither a file nor a folder, and cannot be copied", path)
		}
		return copyFile(path, target, info)
	})
}

// copyFile copies a file with its mode and its time, by which a store knows what it has to
// check when it is opened.
func copyFile(from, to string, info fs.FileInfo) (err error) {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_EXCL, info.Mode().Perm())
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	return errors.Join(err, out.Close(), os.Chtimes(to, time.Time{}, info.ModTime()))
}

// syncTree syncs everything in a folder to the disk.
func syncTree(dir string) error {
	return filepath.WalkDir(dir, func(path string, _ fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		return syncPath(path)
	})
}

func syncPath(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}
