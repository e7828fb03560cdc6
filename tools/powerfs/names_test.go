package main

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"testing"
)

// often runs something with many power cuts, and returns how often it found what it
// looks for.
func often(t *testing.T, strict bool, prepare func(program), found func(program) bool) (times int) {
	t.Helper()
	for seed := range uint64(cutsOfNames) {
		p := openDisk(t, t.TempDir(), strict, seed)
		prepare(p)
		p.powerCut()
		if found(p) {
			times++
		}
	}
	return times
}

const cutsOfNames = 60

func there(path string) func(program) bool {
	return func(p program) bool { return p.read(path) != nil }
}

// What must be there is there always, what may be lost sometimes is and sometimes not.
func TestCut_LeavesNames(t *testing.T) {
	tests := []struct {
		name    string
		prepare func(program)
		found   func(program) bool
		ext4    bool // it is found always
		strict  bool
	}{
		{"a new file", func(p program) { p.create("f") }, there("f"), false, false},
		{"a new file that was synced", func(p program) { p.create("f"); p.syncFile("f") }, there("f"), true, false},
		{"a new file whose folder was synced", func(p program) { p.create("f"); p.syncFolder(".") }, there("f"), true, true},
		{"a file in a new folder that was synced", func(p program) { p.mkdir("d"); p.create("d/f"); p.syncFolder("d") }, there("d/f"), true, false},
		{"a file in a folder that was synced, as its parent was", func(p program) {
			p.mkdir("d")
			p.create("d/f")
			p.syncFolder("d")
			p.syncFolder(".")
		}, there("d/f"), true, true},
		{"a file that was removed", func(p program) { p.create("f"); p.syncFolder("."); p.remove("f") },
			func(p program) bool { return p.read("f") == nil }, false, false},
		{"a file whose removal was synced", func(p program) { p.create("f"); p.syncFolder("."); p.remove("f"); p.syncFolder(".") },
			func(p program) bool { return p.read("f") == nil }, true, true},
		{"a file that was replaced: the old or the new one", replaced, func(p program) bool {
			left := p.read("f")
			return bytes.Equal(left, []byte("old")) || bytes.Equal(left, []byte("new"))
		}, true, true},
		{"a file that was replaced: the new one", replaced, func(p program) bool { return bytes.Equal(p.read("f"), []byte("new")) }, false, false},
		{"a file whose replacement was synced", func(p program) { replaced(p); p.syncFolder(".") },
			func(p program) bool { return bytes.Equal(p.read("f"), []byte("new")) }, true, true},
		{"what was in a folder that was moved", func(p program) {
			p.mkdir("d")
			p.create("d/f")
			p.syncFolder("d")
			p.syncFolder(".")
			p.create("d/g")
			p.move("d", "e")
			p.create("e/h")
			p.move("e", "i")
		}, func(p program) bool { return p.read("d/f") != nil || p.read("e/f") != nil || p.read("i/f") != nil }, true, true},
	}
	for _, c := range tests {
		for _, strict := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, strict %v", c.name, strict), func(t *testing.T) {
				times := often(t, strict, c.prepare, c.found)
				if always := c.ext4 && !strict || c.strict && strict; always && times != cutsOfNames || !always && (times == 0 || times == cutsOfNames) {
					t.Errorf("found after %d of %d power cuts", times, cutsOfNames)
				}
			})
		}
	}
}

// replaced replaces a file as programs do: write another, sync it, rename it.
func replaced(p program) {
	p.create("f")
	p.writeAt("f", []byte("old"), 0)
	p.syncFile("f")
	p.syncFolder(".")
	p.create("f.tmp")
	p.writeAt("f.tmp", []byte("new"), 0)
	p.syncFile("f.tmp")
	p.move("f.tmp", "f")
}

// With -strict, operations are lost one by one; otherwise in order.
func TestCut_LosesNamesInOrderUnlessStrict(t *testing.T) {
	for _, strict := range []bool{false, true} {
		outOfOrder := often(t, strict, func(p program) { p.create("first"); p.create("second") },
			func(p program) bool { return p.read("first") == nil && p.read("second") != nil })
		if strict && outOfOrder == 0 || !strict && outOfOrder > 0 {
			t.Errorf("strict %v: only the second of two new files was there %d times", strict, outOfOrder)
		}
	}
}

// Whatever programs do to names, a power cut can be made of it, the disk can be used
// again, and every file that is synced with its folders is there after the next one.
func TestCut_CanFollowAnything(t *testing.T) {
	for seed := range uint64(200) {
		dir := t.TempDir()
		strict := seed%2 == 0
		for life := range uint64(3) {
			p := openDisk(t, dir, strict, seed*10+life)
			rng := rand.New(rand.NewPCG(seed, life))
			wander(p, rng, 40)
			kept := fmt.Sprint("kept", life)
			p.create(kept)
			p.writeAt(kept, []byte(kept), 0)
			p.syncFile(kept)
			p.syncFolder(".")
			wander(p, rng, 20)
			p.powerCut()
			for earlier := range life + 1 {
				if want := fmt.Sprint("kept", earlier); string(p.read(want)) != want {
					t.Fatalf("seed %d, life %d: %s holds %q", seed, life, want, p.read(want))
				}
			}
		}
	}
}

// wander does things to files and folders at random, as long as they can be done.
func wander(p program, rng *rand.Rand, steps int) {
	path := func() string {
		folder := []string{"", "a/", "b/", "a/c/"}[rng.IntN(4)]
		return folder + []string{"x", "y", "z"}[rng.IntN(3)]
	}
	for range steps {
		from, to := path(), path()
		switch rng.IntN(7) {
		case 0:
			folder := []string{"a", "b", "a/c", "b/c"}[rng.IntN(4)]
			if p.canCreate(folder) {
				p.mkdir(folder)
			}
		case 1:
			if p.read(from) != nil {
				p.remove(from)
			}
		case 2:
			if p.read(from) != nil && from != to && (p.read(to) != nil || p.canCreate(to)) {
				p.move(from, to)
			}
		case 3:
			if p.exists("a/c") && p.canCreate("b/c") {
				p.move("a/c", "b/c")
			}
		case 4:
			if folder := []string{".", "a", "b"}[rng.IntN(3)]; p.exists(folder) {
				p.syncFolder(folder)
			}
		default:
			if p.canCreate(from) {
				p.create(from)
			}
			if p.read(from) != nil {
				p.writeAt(from, randomData(rng, 100), rng.Int64N(100))
			}
		}
	}
}
