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

// unsynced is how long a change of the store may stand there before the server
// has synced it, or noticed that it cannot.
func (c Config) unsynced() time.Duration {
	interval := c.SyncInterval
	if c.SyncAlways {
		return 0
	}
	if interval == 0 {
		interval = 2 * time.Minute // the server's own
	}
	return 3 * interval
}

// secure makes sure that what the files of a closed store show is on the disk.
// After a sync that failed, and after a crash, the system may show what it only
// remembers: a page that it could not write counts as written. A store that is
// opened on that takes a message for recorded which the next power cut takes
// away. So whatever is in doubt is written again, to a new file that is synced
// before it takes the old one's place.
//
// In doubt is the last block of each stream, and what was changed within doubt
// before the store's last change. Of the rest the server knows that it is synced:
// it begins no block, and acknowledges nothing more, once it has failed to write
// or sync the one before. And what it acknowledged was on the disk before that
// failure, so none of it can be missing from what is written again.
func secure(dir string, doubt time.Duration) error {
	files, err := filesIn(dir)
	if err != nil {
		return err
	}
	var newest time.Time
	last := map[string]int{} // block of each folder
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
		if f.block > 0 && f.block == last[folder] || newest.Sub(f.changed) <= doubt {
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

// stored is a file of a store.
type stored struct {
	path    string
	block   int // its number, 0 when it is none
	changed time.Time
}

// filesIn are the files in the folders of a store.
func filesIn(dir string) (files []stored, err error) {
	err = filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() || filepath.Dir(path) == dir {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		f := stored{path: path, changed: info.ModTime()}
		if number, ok := strings.CutSuffix(d.Name(), ".blk"); ok {
			f.block, _ = strconv.Atoi(number)
		}
		files = append(files, f)
		return nil
	})
	return files, err
}

// rewrite puts a synced copy in the place of a file, by way of another name.
func rewrite(path, by string) (err error) {
	from, err := os.Open(path)
	if err != nil {
		return err
	}
	defer from.Close()
	info, err := from.Stat()
	if err != nil {
		return err
	}
	to, err := os.OpenFile(by, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, info.Mode().Perm())
	if err != nil {
		return err
	}
	_, err = io.Copy(to, from)
	if err = errors.Join(err, to.Sync(), to.Close()); err != nil {
		return errors.Join(err, os.Remove(by))
	}
	return os.Rename(by, path)
}

// syncFile makes sure that a file's content, or a folder's names, are on the disk.
func syncFile(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

// streamsIn are the streams that a store holds messages of.
func streamsIn(dir string) (names []string, err error) {
	if info, err := os.Stat(filepath.Join(dir, "jetstream")); err == nil && !info.IsDir() {
		return nil, fmt.Errorf("%s is not a folder; move it away", filepath.Join(dir, "jetstream"))
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
