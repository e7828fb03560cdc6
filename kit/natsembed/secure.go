package natsembed

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"
)

// maxUnsynced returns the longest time from a change of the store until the server
// has synced it, or has noticed that it cannot.
func (c Config) maxUnsynced() time.Duration {
	interval := c.SyncInterval
	switch {
	case c.SyncAlways:
		return 0
	case c.SyncGroup:
		return 2 * slowSync // by then nothing is published any more
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
// In doubt are the last block of each stream, or all from the number that inDoubt has
// for its folder, and all files that changed within maxUnsynced before the last
// change of the store or of their folder. The server has synced the others: it
// starts no block, and acknowledges nothing more, after it has failed to write or
// sync the block before. What it acknowledged was on the disk before that failure,
// so the copies contain all of it. With SyncGroup, it is Server.Synced that confirms
// nothing more, and who publishes soon stops; see slowSync.
func rewriteUnsynced(dir string, maxUnsynced time.Duration, inDoubt map[string]int) error {
	temp := filepath.Join(dir, ".secure")
	if err := os.RemoveAll(temp); err != nil { // left behind by a process that was killed here
		return err
	}
	files, err := filesIn(dir)
	if err != nil {
		return err
	}
	newest := map[string]time.Time{} // by folder; dir stands for the store
	last := map[string]int{}         // the number of the last block, by folder
	for _, f := range files {
		folder := filepath.Dir(f.path)
		for _, in := range []string{dir, folder} {
			if f.changed.After(newest[in]) {
				newest[in] = f.changed
			}
		}
		last[folder] = max(last[folder], f.block)
	}
	for folder, first := range inDoubt {
		last[folder] = min(last[folder], first)
	}
	var doubtful []string
	folders := map[string]bool{}
	for _, f := range files {
		folder := filepath.Dir(f.path)
		if f.block > 0 && f.block >= last[folder] || newest[dir].Sub(f.changed) <= maxUnsynced || newest[folder].Sub(f.changed) <= maxUnsynced {
			doubtful, folders[folder] = append(doubtful, f.path), true
		}
	}
	if err := rewriteAll(doubtful, temp); err != nil {
		return err
	}
	return syncFiles(slices.Collect(maps.Keys(folders)), (*os.File).Sync)
}

// syncsAtOnce is how many files are synced at a time: the disk's journal takes them together.
const syncsAtOnce = 16

// rewriteAll rewrites files, by copies in a folder that it makes and removes.
func rewriteAll(paths []string, temp string) error {
	if err := os.Mkdir(temp, 0o750); err != nil {
		return err
	}
	var rewriting errgroup.Group
	rewriting.SetLimit(syncsAtOnce)
	for i, path := range paths {
		rewriting.Go(func() error { return rewrite(path, filepath.Join(temp, strconv.Itoa(i))) })
	}
	return errors.Join(rewriting.Wait(), os.RemoveAll(temp))
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
		files = append(files, storeFile{path: path, block: blockNumber(d.Name()), changed: info.ModTime()})
		return nil
	})
	return files, err
}

// blockNumber returns the number of the block that a file holds, 0 if it is not a
// block.
func blockNumber(file string) int {
	number, ok := strings.CutSuffix(file, ".blk")
	n, err := strconv.Atoi(number)
	if !ok || err != nil {
		return 0
	}
	return n
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
func syncFile(path string, fsync func(*os.File) error) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(fsync(f), f.Close())
}

// syncTree syncs all files and folders below a folder, and the folder itself. Files
// that are removed during the call do not count.
func syncTree(dir string, fsync func(*os.File) error) error {
	var paths []string
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && (d.IsDir() || d.Type().IsRegular()) {
			paths = append(paths, path)
		}
		return ignoreMissing(err)
	})
	return errors.Join(err, syncFiles(paths, fsync))
}

// syncFiles syncs files and folders. Those that are not there do not count.
func syncFiles(paths []string, fsync func(*os.File) error) error {
	var syncing errgroup.Group
	syncing.SetLimit(syncsAtOnce)
	for _, path := range paths {
		syncing.Go(func() error { return ignoreMissing(syncFile(path, fsync)) })
	}
	return syncing.Wait()
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
