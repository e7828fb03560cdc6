package main

import (
	"errors"
	"io"
	"math/rand/v2"
	"os"
	"syscall"
)

const (
	pageSize   = 4096
	sectorSize = 512 // the unit that a disk writes as a whole
)

// file is a file with content that is not durable. A sync makes durable what was
// written and truncated before it began, and only that, and only when it ends. At a
// power cut, each page has the content of any time since the last sync, or some of
// its sectors have that of one time and some of another; the size is any that it
// had or grew through, so that a tail may be there as zeros.
//
// That is stricter than ext4 with data=ordered, which shows no zeros where a file
// grew, and than most disks, which write a page as a whole.
type file struct {
	fd       *os.File // its own
	versions []version
	sealed   bool // a sync has begun: the next change begins another version
	number   int  // of the last version
}

// version is what it takes to go back to a content: that of the last sync, or of
// one that has begun and not ended.
type version struct {
	number int
	size   int64
	pages  map[int64][]byte // that have changed since; nil if the page held nothing
}

// seal begins a sync: it returns the number of the last version that the sync makes
// obsolete.
func (f *file) seal() int {
	f.sealed = true
	return f.number
}

// durable ends a sync. It reports whether the whole content is durable now.
func (f *file) durable(number int) bool {
	for len(f.versions) > 0 && f.versions[0].number <= number {
		f.versions = f.versions[1:]
	}
	return len(f.versions) == 0
}

// current returns the version that changes belong to.
func (f *file) current() (*version, error) {
	if len(f.versions) == 0 || f.sealed {
		stat, err := f.fd.Stat()
		if err != nil {
			return nil, err
		}
		f.number++
		f.sealed = false
		f.versions = append(f.versions, version{number: f.number, size: stat.Size(), pages: map[int64][]byte{}})
	}
	return &f.versions[len(f.versions)-1], nil
}

func (f *file) willWrite(off, length int64) error {
	v, err := f.current()
	if err != nil || length == 0 {
		return err
	}
	return f.remember(v, off/pageSize, (off+length-1)/pageSize)
}

func (f *file) willTruncate(size int64) error {
	v, err := f.current()
	if err != nil {
		return err
	}
	stat, err := f.fd.Stat()
	if err != nil || stat.Size() <= size {
		return err
	}
	return f.remember(v, size/pageSize, (stat.Size()-1)/pageSize)
}

// remember keeps the content of pages that are about to change for the first time.
func (f *file) remember(v *version, first, last int64) error {
	for n := first; n <= last; n++ {
		if _, known := v.pages[n]; known {
			continue
		}
		page, err := f.page(n)
		if err != nil {
			return err
		}
		v.pages[n] = page
	}
	return nil
}

// page returns a page of the file, filled with zeros behind its end; nil if the
// file ends before it.
func (f *file) page(n int64) ([]byte, error) {
	page := make([]byte, pageSize)
	read, err := f.fd.ReadAt(page, n*pageSize)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	if read == 0 {
		return nil, nil
	}
	return page, nil
}

// hasName reports whether the file has not been removed.
func (f *file) hasName() (bool, error) {
	stat, err := f.fd.Stat()
	return err == nil && stat.Sys().(*syscall.Stat_t).Nlink > 0, err
}

// fate is what became of a file.
type fate int

const (
	kept fate = iota
	dropped
	torn
)

// cut makes the file what a power cut leaves of it.
func (f *file) cut(rng *rand.Rand) (fate, error) {
	stat, err := f.fd.Stat()
	if err != nil {
		return 0, err
	}
	choice := rng.IntN(4)
	if choice == 0 { // everything had reached the disk just in time
		return kept, nil
	}
	pages := map[int64][][]byte{} // the contents that a page may have, the newest first
	for i := len(f.versions) - 1; i >= 0; i-- {
		for n, before := range f.versions[i].pages {
			if pages[n] == nil {
				now, err := f.page(n)
				if err != nil {
					return 0, err
				}
				pages[n] = [][]byte{now}
			}
			pages[n] = append(pages[n], before)
		}
	}
	size, outcome := f.versions[0].size, dropped
	edge := int64(0) // behind it, nothing was written
	if choice > 1 {
		outcome = torn
		size = sizeBetween(rng, size, stat.Size())
		if edge = 1 << 62; choice == 3 { // in order, up to a point
			edge = rng.Int64N(max(size, stat.Size())/sectorSize+1) * sectorSize
		}
	}
	for _, n := range sortedKeys(pages) {
		if _, err := f.fd.WriteAt(tear(rng, n*pageSize, pages[n], choice, edge), n*pageSize); err != nil {
			return 0, err
		}
	}
	return outcome, f.fd.Truncate(size)
}

// sizeBetween returns a size that a file may have had on its way from one to another.
func sizeBetween(rng *rand.Rand, from, to int64) int64 {
	switch from, to := min(from, to), max(from, to); rng.IntN(3) {
	case 0:
		return from
	case 1:
		return to
	default:
		return from + rng.Int64N(to-from+1)
	}
}

// tear puts a page together: of contents that it had, the newest first.
func tear(rng *rand.Rand, off int64, contents [][]byte, choice int, edge int64) []byte {
	page := make([]byte, pageSize)
	oldest := len(contents) - 1
	whole := rng.IntN(oldest + 2) // oldest+1 means that each sector has its own
	for at := int64(0); at < pageSize; at += sectorSize {
		from := whole
		switch {
		case choice == 1 || off+at >= edge:
			from = oldest
		case choice == 3:
			from = 0
		case whole > oldest:
			from = rng.IntN(oldest + 1)
		}
		if contents[from] != nil {
			copy(page[at:at+sectorSize], contents[from][at:])
		}
	}
	return page
}
