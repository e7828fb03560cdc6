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

// dbDir is the replica's directory, as far as the files of one view are concerned:
//
//	<view>-<hash>-<n>.db            the rows; SQLite's -wal and -shm files lie beside it
//	<view>-<hash>-<n>.db.building   rows that are being built; useless until they are renamed
//
// n counts the databases of the view. A name is never used twice, since SQLite finds the
// -wal file that belongs to a database, and removes it, by name.
type dbDir struct {
	dir     string
	pattern *regexp.Regexp // of the view's file names
}

const buildSuffix = ".building"

func newDBDir(dir, view string) dbDir {
	return dbDir{dir, regexp.MustCompile(`^` + regexp.QuoteMeta(view) + `-([0-9a-f]{12})-([0-9]{1,9})\.db(.*)$`)}
}

// dbFile is the file of a database.
type dbFile struct {
	path, hash string
	number     int
}

// list returns the finished files, newest first, and the highest number in use. A finished
// file may be damaged.
func (d dbDir) list() (files []dbFile, last int, err error) {
	entries, err := os.ReadDir(d.dir)
	if err != nil {
		return nil, 0, err
	}
	for _, e := range entries {
		parts := d.pattern.FindStringSubmatch(e.Name())
		if parts == nil {
			continue
		}
		n, _ := strconv.Atoi(parts[2])
		last = max(last, n)
		if parts[3] == "" {
			files = append(files, dbFile{filepath.Join(d.dir, e.Name()), parts[1], n})
		}
	}
	slices.SortFunc(files, func(a, b dbFile) int { return cmp.Compare(b.number, a.number) })
	return files, last, nil
}

// path returns the path of the n-th database.
func (d dbDir) path(view, hash string, n int) string {
	return filepath.Join(d.dir, view+"-"+hash+"-"+strconv.Itoa(n)+".db")
}

// clean removes all files of the view but keep and what SQLite has beside it: older and
// damaged ones, and unfinished ones that a crash left. An empty keep removes them all.
func (d dbDir) clean(keep string) error {
	entries, err := os.ReadDir(d.dir)
	if err != nil {
		return err
	}
	var failed []error
	for _, e := range entries {
		path := filepath.Join(d.dir, e.Name())
		kept := keep != "" && (path == keep || strings.HasPrefix(path, keep+"-"))
		if d.pattern.MatchString(e.Name()) && !kept {
			failed = append(failed, os.RemoveAll(path)) // a directory of that name may be in the way
		}
	}
	return errors.Join(failed...)
}

// removeDatabase removes a database's file and what SQLite keeps beside it.
func removeDatabase(path string) error {
	var failed []error
	for _, suffix := range []string{"", "-journal", "-wal", "-shm"} {
		if err := os.Remove(path + suffix); !errors.Is(err, os.ErrNotExist) {
			failed = append(failed, err)
		}
	}
	return errors.Join(failed...)
}

// checkAccess verifies that a database's file, and what SQLite keeps beside it, are regular
// files that this process can read and write. SQLite cannot tell these faults, which make a
// rebuild necessary, from a passing one such as too many open files: it reports
// SQLITE_CANTOPEN for both.
func checkAccess(path string) error {
	for _, suffix := range []string{"", "-wal", "-shm", "-journal"} {
		info, err := os.Stat(path + suffix)
		if errors.Is(err, os.ErrNotExist) && suffix != "" {
			continue
		}
		if err == nil && !info.Mode().IsRegular() {
			return fmt.Errorf("%w: %s is not a regular file", errDamaged, path+suffix)
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

// syncPath flushes a file's content, or a directory's entries, to the disk.
func syncPath(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}
