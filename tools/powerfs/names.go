package main

import (
	"errors"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
)

// journal holds the operations on names that are not durable, in their order.
//
// Without -strict, it is like the journal of ext4 and XFS: operations reach the disk
// in their order, so a power cut leaves a first part of them. A sync of a file or
// folder makes durable every operation up to the last that concerns it: a new file
// is found under its name after it was synced.
//
// With -strict, it promises no more than POSIX does: only the sync of a folder makes
// its names durable, and a power cut leaves any of the other operations, as long as
// what an operation needs is there, too: one on the same name, the folder that it is
// in, the content of a folder that is renamed.
type journal struct {
	last    int // the id of the last operation
	pending []op
}

type kind int

const (
	added   kind = iota // a file, a folder, a link
	removed             // a file or a folder
	moved
)

// op is an operation. A name is a folder's inode and the name in it.
type op struct {
	id      int
	kind    kind
	path    string // in the folder that is shown
	newPath string // where it was moved to
	names   []name
	inode   uint64 // of the file or folder that it concerns
	folder  bool   // that is a folder
	kept    string // path of what it removed or replaced, "" if that was a folder, or nothing
	mode    os.FileMode
}

type name struct {
	folder uint64
	name   string
}

func (o op) to() string {
	if o.kind == moved {
		return o.newPath
	}
	return o.path
}

// needs reports whether an operation could not have happened without an earlier one.
func (o op) needs(before op) bool { return o.follows(before) || o.isIn(before) }

// follows reports whether an operation is on a name of an earlier one, or on the
// folder in whose names the earlier one was.
func (o op) follows(before op) bool {
	for _, n := range o.names {
		if slices.Contains(before.names, n) {
			return true
		}
	}
	return o.folder && o.kind != added && (isBelow(before.path, o.path) || isBelow(before.to(), o.path))
}

// isIn reports whether an operation is in the folder that an earlier one added.
func (o op) isIn(before op) bool {
	return before.kind == added && slices.ContainsFunc(o.names, func(n name) bool { return n.folder == before.inode })
}

func isBelow(path, folder string) bool { return strings.HasPrefix(path, folder+"/") }

// commitUpTo makes every operation durable up to the last that concerns what is
// synced, and that came before the sync.
func (j *journal) commitUpTo(s syncing) error {
	end := 0
	for i, o := range j.pending {
		in := s.folder && slices.ContainsFunc(o.names, func(n name) bool { return n.folder == s.inode })
		if o.id <= s.op && (in || o.inode == s.inode) {
			end = i + 1
		}
	}
	return j.commit(func(i int) bool { return i < end })
}

// commitFolder makes the operations in a folder durable that came before its sync,
// and those that they follow. The folder's own name is not among them.
func (j *journal) commitFolder(s syncing) error {
	done := make([]bool, len(j.pending))
	for i := len(j.pending) - 1; i >= 0; i-- {
		o := j.pending[i]
		done[i] = o.id <= s.op && slices.ContainsFunc(o.names, func(n name) bool { return n.folder == s.inode })
		for later := i + 1; later < len(j.pending) && !done[i]; later++ {
			done[i] = done[later] && j.pending[later].follows(o)
		}
	}
	return j.commit(func(i int) bool { return done[i] })
}

func (j *journal) commit(durable func(int) bool) (err error) {
	var rest []op
	for i, o := range j.pending {
		if !durable(i) {
			rest = append(rest, o)
		} else if o.kept != "" {
			err = errors.Join(err, os.Remove(o.kept))
		}
	}
	j.pending = rest
	return err
}

// cut takes back what a power cut takes, and returns how many operations that were.
func (j *journal) cut(rng *rand.Rand, strict bool) (undone int, err error) {
	drop := j.dropTail(rng)
	if strict {
		drop = j.dropAny(rng)
	}
	for i := len(j.pending) - 1; i >= 0; i-- {
		if drop[i] {
			undone++
			err = errors.Join(err, j.pending[i].undo())
		}
	}
	return undone, err
}

func (j *journal) dropTail(rng *rand.Rand) []bool {
	drop := make([]bool, len(j.pending))
	from := rng.IntN(len(j.pending) + 1)
	switch rng.IntN(4) {
	case 0:
		from = 0
	case 1:
		from = len(drop)
	}
	for i := from; i < len(drop); i++ {
		drop[i] = true
	}
	return drop
}

func (j *journal) dropAny(rng *rand.Rand) []bool {
	drop := make([]bool, len(j.pending))
	quarters := rng.IntN(5) // that are lost
	for i, o := range j.pending {
		drop[i] = rng.IntN(4) < quarters
		for before := range i {
			drop[i] = drop[i] || drop[before] && o.needs(j.pending[before])
		}
	}
	return drop
}

// undo takes an operation back. Later ones that need it are undone already.
func (o op) undo() error {
	switch o.kind {
	case added:
		return os.RemoveAll(o.path)
	case moved:
		if err := os.Rename(o.newPath, o.path); err != nil {
			return err
		}
	}
	switch {
	case o.kept != "":
		return os.Link(o.kept, o.to())
	case o.mode.IsDir():
		return os.Mkdir(o.to(), o.mode.Perm())
	}
	return nil
}
