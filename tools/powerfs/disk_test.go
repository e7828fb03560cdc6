package main

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"testing"
)

// A power cut leaves of each file what it was at the last sync, or what it became
// since, and nothing else; and over many seeds, it leaves each of them.
func TestCut_LeavesContentsThatWere(t *testing.T) {
	var all remains
	for seed := range uint64(300) {
		p := openDisk(t, t.TempDir(), false, seed)
		rng := rand.New(rand.NewPCG(seed, 7))
		files := map[string]contents{}
		for i := range 3 {
			path := fmt.Sprint("file", i)
			p.create(path)
			p.syncFolder(".")
			files[path] = contents{{}}
		}
		for range 30 {
			path := fmt.Sprint("file", rng.IntN(3))
			c := files[path]
			switch n := rng.IntN(10); {
			case n < 2:
				p.syncFile(path)
				c = contents{c.now()}
			case n < 3:
				size := rng.Int64N(3 * pageSize)
				p.resize(path, size)
				c = append(c, resized(c.now(), size))
			default:
				data, off := randomData(rng, 2*pageSize), rng.Int64N(4*pageSize)
				p.writeAt(path, data, off)
				c = append(c, written(c.now(), data, off))
			}
			files[path] = c
		}
		r := p.powerCut()
		for path, c := range files {
			if err := c.check(p.read(path)); err != nil {
				t.Fatalf("seed %d, %s: %v", seed, path, err)
			}
		}
		all.files, all.dropped, all.torn = all.files+r.files, all.dropped+r.dropped, all.torn+r.torn
	}
	if kept := all.files - all.dropped - all.torn; kept < 50 || all.dropped < 50 || all.torn < 50 {
		t.Errorf("of %d files, %d were kept, %d dropped and %d torn: not each often enough", all.files, kept, all.dropped, all.torn)
	}
}

// A file that grew may have its new size and zeros there, a part of what was
// written, or some sectors of a page.
func TestCut_TearsPages(t *testing.T) {
	zeros, part, mixed := 0, 0, 0
	for seed := range uint64(200) {
		p := openDisk(t, t.TempDir(), false, seed)
		p.create("f")
		p.writeAt("f", bytes.Repeat([]byte{'a'}, pageSize), 0)
		p.syncFile("f")
		p.writeAt("f", bytes.Repeat([]byte{'b'}, 3*pageSize), 0)
		p.powerCut()
		left := p.read("f")
		if a, b := bytes.Contains(left, []byte("a")), bytes.Contains(left, []byte("b")); a && b {
			mixed++
		}
		if len(left) == 3*pageSize && bytes.HasSuffix(left, make([]byte, sectorSize)) {
			zeros++
		}
		if len(left) > pageSize && len(left) < 3*pageSize {
			part++
		}
	}
	if zeros < 5 || part < 5 || mixed < 5 {
		t.Errorf("zeros at the end %d times, a part of the new size %d times, old and new sectors %d times", zeros, part, mixed)
	}
}

// What is written while a sync is under way is not part of it; and a sync that has
// not ended promises nothing.
func TestSync_CoversWhatWasThereWhenItBegan(t *testing.T) {
	during, unfinished := 0, 0
	for seed := range uint64(60) {
		p := openDisk(t, t.TempDir(), false, seed)
		p.create("f")
		p.syncFile("f")
		p.writeAt("f", []byte("first"), 0)
		s := syncing{inode: p.inode("f"), version: p.files[p.inode("f")].seal(), op: p.names.last}
		p.writeAt("f", []byte("second"), pageSize)
		if finish := seed%2 == 0; finish {
			p.must(p.finish(s))
		}
		p.powerCut()
		first := bytes.HasPrefix(p.read("f"), []byte("first"))
		switch {
		case seed%2 == 0 && !first:
			t.Fatalf("seed %d: what was synced is lost: %q", seed, p.read("f"))
		case seed%2 == 1 && !first:
			unfinished++
		case seed%2 == 0 && !bytes.Contains(p.read("f"), []byte("second")):
			during++
		}
	}
	if during == 0 || unfinished == 0 {
		t.Errorf("%d times lost what was written during a sync, %d times what a sync that did not end had begun to sync", during, unfinished)
	}
}

// lossesOf runs a program that appends records to a file and acknowledges each, with
// many power cuts, and counts those after which an acknowledged record is not there.
func lossesOf(t *testing.T, appendRecord func(p program, acknowledge func(), record []byte, off int64)) (losses int) {
	t.Helper()
	const cuts = 100
	for seed := range uint64(cuts) {
		p := openDisk(t, t.TempDir(), true, seed)
		p.create("log")
		p.syncFolder(".")
		acknowledged := 0
		last := 1 + int(seed%7)
		for n := range last {
			appendRecord(p, func() { acknowledged = n + 1 }, bytes.Repeat([]byte{byte('a' + n)}, 900), int64(900*n))
		}
		p.powerCut()
		left := p.read("log")
		for n := range acknowledged {
			if end := 900 * (n + 1); len(left) < end || left[end-1] != byte('a'+n) || left[end-900] != byte('a'+n) {
				losses++
				break
			}
		}
	}
	return losses
}

// A check that cannot fail is worth nothing: programs with a fault are found, and
// the right one loses nothing.
func TestCut_FindsProgramsThatAcknowledgeTooEarly(t *testing.T) {
	programs := []struct {
		name  string
		right bool
		do    func(p program, acknowledge func(), record []byte, off int64)
	}{
		{"sync, then acknowledge", true, func(p program, acknowledge func(), record []byte, off int64) {
			p.writeAt("log", record, off)
			p.syncFile("log")
			acknowledge()
		}},
		{"acknowledge without a sync", false, func(p program, acknowledge func(), record []byte, off int64) {
			p.writeAt("log", record, off)
			acknowledge()
		}},
		{"acknowledge what was written after the sync began", false, func(p program, acknowledge func(), record []byte, off int64) {
			p.mu.Lock()
			s := syncing{inode: p.inode("log"), op: p.names.last}
			if f := p.files[s.inode]; f != nil {
				s.version = f.seal()
			}
			p.mu.Unlock()
			p.writeAt("log", record, off)
			p.must(p.finish(s))
			acknowledge()
		}},
		{"sync another file", false, func(p program, acknowledge func(), record []byte, off int64) {
			p.writeAt("log", record, off)
			p.create(fmt.Sprint("other", off))
			p.syncFile(fmt.Sprint("other", off))
			acknowledge()
		}},
	}
	for _, c := range programs {
		t.Run(c.name, func(t *testing.T) {
			losses := lossesOf(t, c.do)
			if c.right && losses > 0 {
				t.Errorf("%d of 100 power cuts lost something", losses)
			}
			if !c.right && losses < 20 {
				t.Errorf("only %d of 100 power cuts lost something", losses)
			}
		})
	}
}
