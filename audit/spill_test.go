package audit

import (
	"encoding/binary"
	"path/filepath"
	"testing"
)

// TestSpill_NeedsNoFolder has a spill with a folder for its file, and one without.
func TestSpill_NeedsNoFolder(t *testing.T) {
	const records = 40_000 // of 32 bytes, so that every partition is flushed
	for name, folder := range map[string]string{"a file": t.TempDir(), "no folder": filepath.Join(t.TempDir(), "missing")} {
		t.Run(name, func(t *testing.T) {
			t.Setenv("TMPDIR", folder)
			s := newSpill(0)
			defer s.close()
			for i := range records {
				if err := s.add(uint64(i), binary.BigEndian.AppendUint64(make([]byte, 24), uint64(i))); err != nil {
					t.Fatal(err)
				}
			}
			if hasFile := s.file != nil; hasFile != (name == "a file") {
				t.Errorf("it has a file: %v", hasFile)
			}
			next, all := map[uint64]uint64{}, 0 // of each partition
			err := s.eachPart(func(found [][]byte) error {
				for _, r := range found {
					n := binary.BigEndian.Uint64(r[24:])
					if part := n % minParts; n != next[part]+part {
						t.Fatalf("%d is not in its order", n)
					} else {
						next[part] += minParts
					}
					all++
				}
				return nil
			})
			if err != nil || all != records {
				t.Errorf("%d of %d records, %v", all, records, err)
			}
		})
	}
}
