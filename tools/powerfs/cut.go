package main

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
)

// remains is what became of what was not durable.
type remains struct {
	files, dropped, torn int
	names, undone        int
}

func (r remains) String() string {
	return fmt.Sprintf("%d files not synced, %d dropped, %d torn; %d names not synced, %d undone", r.files, r.dropped, r.torn, r.names, r.undone)
}

// cut cuts the power: it chooses what is left of what was not durable, and makes the
// folder hold that.
func (d *disk) cut() (r remains, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.off {
		return r, errors.New("the power is off")
	}
	d.off = true
	r.names = len(d.names.pending)
	if r.undone, err = d.names.cut(d.rng, d.strict); err != nil {
		return r, err
	}
	if err := os.RemoveAll(d.lost); err != nil {
		return r, err
	}
	for _, inode := range sortedKeys(d.files) {
		f := d.files[inode]
		if there, err := f.hasName(); err != nil {
			return r, err
		} else if !there {
			continue
		}
		became, err := f.cut(d.rng)
		if err != nil {
			return r, err
		}
		r.files++
		switch became {
		case dropped:
			r.dropped++
		case torn:
			r.torn++
		}
	}
	return r, nil
}

func sortedKeys[K cmp.Ordered, V any](m map[K]V) []K { return slices.Sorted(maps.Keys(m)) }
