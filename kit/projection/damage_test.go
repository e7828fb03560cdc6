package projection_test

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/nats-io/nats.go"
	_ "modernc.org/sqlite" // the driver

	"lonja/kit/eventlog"
	"lonja/kit/projection"
)

func totalIn(t *testing.T, path, counter string) (total int) {
	t.Helper()
	db, err := sql.Open("sqlite", "file:"+path)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if err := db.QueryRow("SELECT total FROM totals WHERE counter = ?", counter).Scan(&total); err != nil {
		t.Fatal(err)
	}
	return total
}

func execIn(t *testing.T, path, statement string) {
	t.Helper()
	db, err := sql.Open("sqlite", "file:"+path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := db.Exec(statement); err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// overwrite writes garbage over a tenth of a file, starting at the given tenth.
func overwrite(t *testing.T, path string, tenth int64) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	must(t, err)
	info, err := f.Stat()
	must(t, err)
	_, err = f.WriteAt(bytes.Repeat([]byte("garbage!"), int(info.Size()/10/8)+1), info.Size()*tenth/10)
	must(t, errors.Join(err, f.Close()))
}

// losses are the ways in which a file can be lost or damaged. old is an earlier copy.
var losses = map[string]func(t *testing.T, path, old string){
	"deleted":                 func(t *testing.T, path, _ string) { must(t, os.Remove(path)) },
	"emptied":                 func(t *testing.T, path, _ string) { must(t, os.Truncate(path, 0)) },
	"truncated to one page":   func(t *testing.T, path, _ string) { must(t, os.Truncate(path, 4096)) },
	"truncated inside a page": func(t *testing.T, path, _ string) { must(t, os.Truncate(path, 5000)) },
	"garbage at the start":    func(t *testing.T, path, _ string) { overwrite(t, path, 0) },
	"garbage in the middle":   func(t *testing.T, path, _ string) { overwrite(t, path, 5) },
	"replaced by an old copy": func(t *testing.T, path, old string) { must(t, os.Rename(old, path)) },
	"replaced by garbage": func(t *testing.T, path, _ string) {
		must(t, os.Remove(path))
		must(t, os.WriteFile(path, []byte("no"), 0o600))
	},
	"replaced by a directory": func(t *testing.T, path, _ string) {
		must(t, os.Remove(path))
		makeDir(t, path)
	},
}

// makeDir creates a directory that is not empty.
func makeDir(t *testing.T, path string) {
	t.Helper()
	must(t, os.MkdirAll(filepath.Join(path, "not empty"), 0o700))
}

// aged runs the view totals until it holds many counters, with 3 as the total of counter c.
// It returns a copy of the file from before the last event.
func (h *harness) aged() (old string) {
	h.t.Helper()
	v, stop := h.run(totals)
	h.log.Add("c", 1)
	for n := range 400 {
		h.log.Add(fmt.Sprintf("counter-%s-%d", strings.Repeat("x", 100), n), 1)
	}
	h.await(v, 401)
	must(h.t, stop())
	data, err := os.ReadFile(h.file())
	must(h.t, err)
	old = filepath.Join(h.t.TempDir(), "old.db")
	must(h.t, os.WriteFile(old, data, 0o600))
	v, stop = h.run(totals)
	h.await(v, h.log.Add("c", 2))
	must(h.t, stop())
	return old
}

// awaitBuilt waits until the view has been rebuilt.
func (h *harness) awaitBuilt(v *projection.View) {
	h.t.Helper()
	h.eventually(func() error {
		if v.LastBuild().Events == 0 {
			return errors.New("not rebuilt")
		}
		return nil
	})
}

func TestView_IsRebuiltWhenItsFileIsDamagedBetweenRuns(t *testing.T) {
	for name, lose := range losses {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := newHarness(t)
			old := h.aged()
			lose(t, h.file(), old)
			v, stop := h.run(totals)
			if name != "replaced by an old copy" { // which only has to catch up
				h.awaitBuilt(v)
			}
			h.awaitTotal(v, "c", 3)
			h.await(v, h.log.Add("c", 4))
			h.awaitTotal(v, "c", 7)
			must(t, stop())
			h.wantOneFile()
			if got := totalIn(t, h.file(), "c"); got != 7 {
				t.Errorf("total %d, want 7", got)
			}
		})
	}
}

func TestView_IsRebuiltWhenDirectoriesAreInPlaceOfItsFiles(t *testing.T) {
	for _, suffix := range []string{"-wal", "-shm", "-journal", ".building", ".building-journal"} {
		t.Run(suffix, func(t *testing.T) {
			t.Parallel()
			h := newHarness(t)
			h.aged()
			makeDir(t, h.file()+suffix)
			v, stop := h.run(totals)
			h.await(v, h.log.Add("c", 4))
			h.awaitTotal(v, "c", 7)
			must(t, stop())
			h.wantOneFile()
		})
	}
}

func TestView_IsRebuiltWhenItsFileIsDamagedWhileItRuns(t *testing.T) {
	for name, lose := range losses {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := newHarness(t)
			old := h.aged()
			v, stop := h.run(totals)
			h.awaitTotal(v, "c", 3)
			lose(t, h.file(), old)
			h.log.Add("c", 4)
			if !strings.HasPrefix(name, "garbage") { // which is not noticed before it is read
				h.awaitBuilt(v)
			}
			h.awaitTotal(v, "c", 7)
			must(t, stop())
			v, stop = h.run(totals)
			h.await(v, h.log.Add("c", 8))
			h.awaitTotal(v, "c", 15)
			must(t, stop())
			h.wantOneFile()
		})
	}
}

func TestView_ServesADeletedFileUntilTheRebuildEnds(t *testing.T) {
	h := newHarness(t)
	h.aged()
	v, stop := h.run(totals)
	h.awaitTotal(v, "c", 3)
	must(t, os.Remove(h.file()))
	for v.LastBuild().Events == 0 {
		if got, err := h.total(v, "c"); err != nil || got != 3 {
			t.Fatalf("total %d, %v", got, err)
		}
	}
	h.wantTotal(v, "c", 3)
	must(t, stop())
	h.wantOneFile()
}

func TestView_IsRebuiltWhenItsCheckpointIsDamaged(t *testing.T) {
	h := newHarness(t)
	h.aged()
	execIn(t, h.file(), "UPDATE checkpoint SET sequence = sequence + 1000")
	v, stop := h.run(totals)
	h.awaitTotal(v, "c", 3)
	must(t, stop())
	h.wantOneFile()
}

func TestView_RemovesFilesThatACrashLeft(t *testing.T) {
	h := newHarness(t)
	h.aged()
	base := strings.TrimSuffix(h.file(), "1.db")
	for _, leftover := range []string{"7.db.building", "7.db.building-journal", "7.db.building-wal", "6.db-wal", "6.db-shm"} {
		must(t, os.WriteFile(base+leftover, []byte("leftover"), 0o600))
	}
	must(t, os.WriteFile(filepath.Join(h.dir, "totals-else.db"), nil, 0o600))
	v, stop := h.run(totals)
	h.awaitTotal(v, "c", 3)
	must(t, v.Rebuild(t.Context()))
	must(t, stop())
	must(t, os.Remove(filepath.Join(h.dir, "totals-else.db"))) // a file of something else is not touched
	h.wantOneFile()
	if h.file() != base+"8.db" && h.file() != base+"2.db" {
		t.Errorf("file %s", h.file())
	}
}

func TestView_TruncatesALargeWALOnceItsReaderHasEnded(t *testing.T) {
	h := newHarness(t)
	v, err := h.open(ledger)
	must(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- v.Run(ctx) }()
	data := fmt.Appendf(nil, `{"counter":"c","by":1,"note":%q}`, strings.Repeat("x", 100_000))
	publish := func(n int) {
		for range n {
			id := eventlog.NewID()
			header := eventlog.Envelope{ID: id, Type: addedType, Causation: id}.Header()
			_, err := h.log.JS.PublishMsg(t.Context(), &nats.Msg{Subject: "events.counter.c.added", Header: header, Data: data})
			must(t, err)
		}
	}
	publish(1)
	h.await(v, 1)
	files, err := v.Files(h.dir)
	must(t, err)
	size := func() int64 {
		info, err := os.Stat(files[0] + "-wal")
		must(t, err)
		return info.Size()
	}
	must(t, v.Each(t.Context(), `SELECT sequence FROM entries`, nil, func(func(...any) error) error {
		publish(200)
		h.await(v, 201)
		if size() < 16<<20 {
			t.Errorf("the WAL has %d bytes", size())
		}
		return nil
	}))
	h.eventually(func() error {
		if size() > 0 {
			return fmt.Errorf("the WAL has %d bytes", size())
		}
		return nil
	})
	cancel()
	must(t, errors.Join(<-done, v.Close()))
}
