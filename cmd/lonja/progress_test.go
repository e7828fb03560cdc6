package main

import (
	"os"
	"path/filepath"
	"testing"
	"time"
)

func TestProgressLine(t *testing.T) {
	for want, is := range map[string]string{
		"[..............................] 0 of 0 messages, 0/s":          progressLine(0, 0, 0),
		"[###############...............] 500 of 1000 messages, 250/s":   progressLine(500, 1000, 2*time.Second),
		"[##############################] 1001 of 1000 messages, 1001/s": progressLine(1001, 1000, time.Second),
	} {
		if is != want {
			t.Errorf("%q, not %q", is, want)
		}
	}
}

func TestProgressBar_ShowsNothingInAFile(t *testing.T) {
	f, err := os.Create(filepath.Join(t.TempDir(), "stderr"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	p := newProgressBar(f)
	p.show(1, 2)
	p.hide()
	if info, err := f.Stat(); err != nil || info.Size() != 0 {
		t.Errorf("%v, %v", info, err)
	}
}
