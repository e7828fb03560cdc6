package natsembed

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// maxUnsynced returns the longest time from a change of the store until the server
// has synced it, or has noticed that it cannot.
func (c Config) maxUnsynced() time.Duration {
	interval := c.SyncInterval
	if c.SyncAlways {
		return 0
	}
	if interval == 0 {
		interval = 2 * time.Minute // the server's default
	}
	return 3 * interval
}

// rewriteUnsynced makes sure that the files of a closed store are on the disk as
// they read. After a failed sync, and after a crash, a file can read back pages
// that are only in memory: the kernel marks a page as clean even if it could not
// write it. If the server opened the store like that, it would count messages as
// stored that the next power cut removes. So every file in doubt is copied to a
// new file, which is synced before it replaces the old one.
//
// In doubt are the last block of each stream, and all files that changed within
// maxUnsynced before the store's last change. The server has synced the others: it
// starts no block, and acknowledges nothing more, after it has failed to write or
// sync the block before. What it acknowledged was on the disk before that failure,
// so the copies contain all of it.
func rewriteUnsynced(dir string, maxUnsynced time.Duration) error {
	files, err := filesIn(dir)
	if err != nil {
		return err
	}
	var newest time.Time
	last := map[string]int{} // the number of the last block, by folder
	for _, f := range files {
		if f.changed.After(newest) {
			newest = f.changed
		}
		if folder := filepath.Dir(f.path); f.block > last[folder] {
			last[folder] = f.block
		}
	}
	folders := map[string]bool{}
	for _, f := range files {
		folder := filepath.Dir(f.path)
		if f.block > 0 && f.block == last[folder] || newest.Sub(f.changed) <= maxUnsynced {
			if err := rewrite(f.path, filepath.Join(dir, ".secure")); err != nil {
				return err
			}
			folders[folder] = true
		}
	}
	for folder := range folders {
		if err := syncFile(folder); err != nil {
			return err
		}
	}
	return nil
}

// storeFile is a file of a store.
type storeFile struct {
	path    string
	block   int // its number; 0 if it is not a block
	changed time.Time
}

// filesIn returns the files in the folders of a store, without those in dir itself.
func filesIn(dir string) (files []storeFile, err error) {
	err = filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() || filepath.Dir(path) == dir {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		f := storeFile{path: path, changed: info.ModTime()}
		if number, ok := strings.CutSuffix(d.Name(), ".blk"); ok {
			f.block, _ = strconv.Atoi(number)
		}
		files = append(files, f)
		return nil
	})
	return files, err
}

// rewrite replaces a file by a synced copy, which is written to temp first.
func rewrite(path, temp string) (err error) {
	from, err := os.Open(path)
	if err != nil {
		return err
	}
	defer from.Close()
	info, err := from.Stat()
	if err != nil {
		return err
	}
	to, err := os.OpenFile(temp, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, info.Mode().Perm())
	if err != nil {
		return err
	}
	_, err = io.Copy(to, from)
	if err = errors.Join(err, to.Sync(), to.Close()); err != nil {
		return errors.Join(err, os.Remove(temp))
	}
	return os.Rename(temp, path)
}

// syncFile syncs the content of a file, or the names in a folder.
func syncFile(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

// streamsIn returns the names of the streams that a store holds messages of.
func streamsIn(dir string) (names []string, err error) {
	if info, err := os.Stat(filepath.Join(dir, "jetstream")); err == nil && !info.IsDir() {
		return nil, fmt.Errorf("%s is not a folder; move it elsewhere", filepath.Join(dir, "jetstream"))
	}
	store := os.DirFS(dir)
	blocks, err := fs.Glob(store, "jetstream/*/streams/*/msgs/*.blk")
	if err != nil {
		return nil, err
	}
	for _, block := range blocks {
		info, err := fs.Stat(store, block)
		if err != nil {
			return nil, err
		}
		if !info.Mode().IsRegular() {
			return nil, fmt.Errorf("%s is not a file; restore the store", filepath.Join(dir, block))
		}
		if info.Size() > 0 {
			names = append(names, strings.Split(block, "/")[3])
		}
	}
	return names, nil
}
