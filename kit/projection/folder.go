package projection

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// The files of a view lie in its replica's folder:
//
//	<view>-<hash>-<n>.db            the rows, with SQLite's -wal and -shm beside it
//	<view>-<hash>-<n>.db.building   rows that are being made, worth nothing until they are renamed
//
// The n-th file is the n-th that was made. No name is used twice, since SQLite
// takes a -wal for a file's own by its name, and removes it by its name.
type folder struct {
	dir  string
	ours *regexp.Regexp
}

const building = ".building"

func folderOf(dir, view string) folder {
	return folder{dir, regexp.MustCompile(`^` + regexp.QuoteMeta(view) + `-([0-9a-f]{12})-([0-9]{1,9})\.db(.*)$`)}
}

// found is a file with rows, finished if perhaps not whole.
type found struct {
	path, hash string
	number     int
}

// list is what there is, the newest first, and the highest number that is in use.
func (d folder) list() (files []found, last int, err error) {
	entries, err := os.ReadDir(d.dir)
	if err != nil {
		return nil, 0, err
	}
	for _, e := range entries {
		parts := d.ours.FindStringSubmatch(e.Name())
		if parts == nil {
			continue
		}
		n, _ := strconv.Atoi(parts[2])
		last = max(last, n)
		if parts[3] == "" {
			files = append(files, found{filepath.Join(d.dir, e.Name()), parts[1], n})
		}
	}
	slices.SortFunc(files, func(a, b found) int { return cmp.Compare(b.number, a.number) })
	return files, last, nil
}

// path is where the n-th file is.
func (d folder) path(view, hash string, n int) string {
	return filepath.Join(d.dir, view+"-"+hash+"-"+strconv.Itoa(n)+".db")
}

// clean removes everything of the view but one file, "" for none: what is
// older, what is damaged, and what a crash left half done.
func (d folder) clean(keep string) error {
	entries, err := os.ReadDir(d.dir)
	if err != nil {
		return err
	}
	var failed []error
	for _, e := range entries {
		path := filepath.Join(d.dir, e.Name())
		kept := keep != "" && (path == keep || strings.HasPrefix(path, keep+"-"))
		if d.ours.MatchString(e.Name()) && !kept {
			failed = append(failed, os.RemoveAll(path)) // it may be a folder that somebody put there
		}
	}
	return errors.Join(failed...)
}

// usable makes sure that a view's file, and what SQLite keeps beside it, are files
// that this process may read and write. Otherwise SQLite says only that it cannot
// open them, as it does when there are too many open files.
func usable(path string) error {
	for _, suffix := range []string{"", "-wal", "-shm", "-journal"} {
		info, err := os.Stat(path + suffix)
		if errors.Is(err, os.ErrNotExist) && suffix != "" {
			continue
		}
		if err == nil && !info.Mode().IsRegular() {
			return fmt.Errorf("%w: %s is not a file", errDamaged, path+suffix)
		}
		if err == nil {
			err = tryOpen(path + suffix)
		}
		if errors.Is(err, os.ErrPermission) {
			return fmt.Errorf("%w: %w", errDamaged, err)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func tryOpen(path string) error {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	return f.Close()
}

// flush makes sure that a file's content, or a folder's names, are on the disk.
func flush(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}
