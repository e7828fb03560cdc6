package decider_test

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"lonja/kit/decider"
	"lonja/kit/errs"
	"lonja/kit/eventlog"
	"lonja/kit/kittest"
)

// keeper makes deciders that share a folder of snapshots, as one replica does after each start.
type keeper struct {
	log    *kittest.Log
	dir    string
	every  int
	window int          // 0 means 2
	folded atomic.Int64 // events
	logged strings.Builder
}

// start returns a decider with snapshots of a version, as after a start of the process.
func (k *keeper) start(version int) (*decider.Decider[int], *decider.Snapshots) {
	counted := counterType
	counted.Evolve = func(n int, e eventlog.Event, at time.Time) int {
		k.folded.Add(1)
		return counterType.Evolve(n, e, at)
	}
	counted.Snapshot = &decider.Snapshot[int]{Version: version,
		Encode: func(n int) func() ([]byte, error) {
			return func() ([]byte, error) { return []byte(strconv.Itoa(n)), nil }
		},
		Decode: func(b []byte) (int, error) { return strconv.Atoi(string(b)) }}
	s := &decider.Snapshots{Dir: k.dir, Every: k.every, Logger: slog.New(slog.NewTextHandler(&k.logged, nil))}
	d := decider.New(counted)
	own := eventlog.New(k.log.JS, kittest.Codec)
	own.Synced, own.Layout = k.log.Synced, k.log.Layout
	d.Bind(own, decider.Config{Snapshots: s, CommandWindow: cmp.Or(k.window, 2)})
	return d, s
}

// total returns the state of counter c after a start, and how many events were folded for it.
func (k *keeper) total(t *testing.T, version int) (total int, folded int64) {
	t.Helper()
	k.folded.Store(0)
	d, _ := k.start(version)
	if err := d.Peek(t.Context(), "c", func(n int) { total = n }); err != nil {
		t.Fatal(err)
	}
	return total, k.folded.Load()
}

func (k *keeper) file(t *testing.T) string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(k.dir, "*"))
	if err != nil || len(files) != 1 {
		t.Fatalf("the folder holds %q, %v", files, err)
	}
	return files[0]
}

func TestSnapshot_SparesTheEventsBeforeIt(t *testing.T) {
	k := &keeper{log: kittest.New(t), dir: filepath.Join(t.TempDir(), "snapshots"), every: 4}
	for range 9 {
		k.log.Add("c", 1)
	}
	d, s := k.start(1)
	if err := d.Peek(t.Context(), "c", func(int) {}); err != nil { // folds 9
		t.Fatal(err)
	}
	s.Save(t.Context()) // waits for the snapshot that is being written
	k.log.Add("c", 1)
	if total, folded := k.total(t, 1); total != 10 || folded != 1 {
		t.Errorf("the total is %d after folding %d events, want 10 after 1", total, folded)
	}
	if _, err := d.Decide(t.Context(), command("w1", "c"), add(-5), nil); err != nil {
		t.Fatal(err)
	}
	s.Save(t.Context()) // two are not saved yet
	if total, folded := k.total(t, 1); total != 5 || folded != 0 {
		t.Errorf("the total is %d after folding %d events, want 5 after none", total, folded)
	}
	if info, err := os.Stat(k.file(t)); err != nil || info.Size() == 0 {
		t.Errorf("%v, %v", info, err)
	}
	s.Save(t.Context())
	if strings.Contains(k.logged.String(), "WARN") {
		t.Errorf("logged %s", k.logged.String())
	}
}

// A snapshot that is not what it should be costs time, and changes nothing.
func TestSnapshot_IsIgnoredUnlessItAgreesWithTheLog(t *testing.T) {
	rewrite := func(change func([]byte) []byte) func(*testing.T, *keeper) {
		return func(t *testing.T, k *keeper) {
			data, err := os.ReadFile(k.file(t))
			if err == nil {
				err = os.WriteFile(k.file(t), change(data), 0o600)
			}
			if err != nil {
				t.Fatal(err)
			}
		}
	}
	for name, test := range map[string]struct {
		then   func(*testing.T, *keeper)
		total  int
		folded int64
		log    string
	}{
		"empty":           {rewrite(func([]byte) []byte { return nil }), 7, 7, "too short"},
		"cut off":         {rewrite(func(b []byte) []byte { return b[:len(b)-1] }), 7, 7, "checksum"},
		"with a bit lost": {rewrite(func(b []byte) []byte { b[len(b)/2] ^= 4; return b }), 7, 7, "checksum"},
		"unreadable": {func(t *testing.T, k *keeper) {
			if err := errors.Join(os.Remove(k.file(t)), os.Mkdir(filepath.Join(k.dir, "events.counter.c.%3E.snapshot"), 0o700)); err != nil {
				t.Fatal(err)
			}
		}, 7, 7, "is a directory"},
		"of another log": {func(t *testing.T, k *keeper) { replace(t, k.log); k.log.Add("c", 2) }, 2, 1, "was created at"},
		"ahead of the log": {func(t *testing.T, k *keeper) {
			cut(t, k.log, 7)
		}, 6, 6, "no event at 7"},
		"of other events": {func(t *testing.T, k *keeper) {
			cut(t, k.log, 7)
			k.log.Add("other", 1) // at 8, where nothing is compared
		}, 6, 6, "no event at 7"},
	} {
		t.Run(name, func(t *testing.T) {
			k := &keeper{log: kittest.New(t), dir: t.TempDir()}
			for range 7 {
				k.log.Add("c", 1)
			}
			d, s := k.start(1)
			if err := d.Peek(t.Context(), "c", func(int) {}); err != nil {
				t.Fatal(err)
			}
			s.Save(t.Context())
			test.then(t, k)
			if total, folded := k.total(t, 1); total != test.total || folded != test.folded {
				t.Errorf("the total is %d after folding %d events, want %d after %d", total, folded, test.total, test.folded)
			}
			if !strings.Contains(k.logged.String(), test.log) {
				t.Errorf("logged %q, without %q", k.logged.String(), test.log)
			}
		})
	}
}

// cut deletes a message from the log, as a lost block does.
func cut(t *testing.T, log *kittest.Log, seq uint64) {
	t.Helper()
	stream, err := log.JS.Stream(t.Context(), kittest.Stream)
	if err == nil {
		err = stream.DeleteMsg(t.Context(), seq)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// During an upgrade and after going back, each program uses only its own snapshots.
func TestSnapshot_OfAnotherVersionIsReplaced(t *testing.T) {
	k := &keeper{log: kittest.New(t), dir: t.TempDir()}
	for range 3 {
		k.log.Add("c", 1)
	}
	for _, version := range []int{1, 2, 1} {
		if total, folded := k.total(t, version); total != 3 || folded != 3 {
			t.Errorf("version %d: %d after folding %d events, want 3 after 3", version, total, folded)
		}
		d, s := k.start(version)
		if err := d.Peek(t.Context(), "c", func(int) {}); err != nil {
			t.Fatal(err)
		}
		s.Save(t.Context())
		if total, folded := k.total(t, version); total != 3 || folded != 0 {
			t.Errorf("version %d: %d after folding %d events, want 3 after none", version, total, folded)
		}
	}
}

// A power cut may take what is not synced. A snapshot of it would be ahead of the log.
func TestSnapshot_IsNotWrittenBeforeTheLogIsSynced(t *testing.T) {
	k := &keeper{log: kittest.New(t), dir: t.TempDir()}
	var syncs atomic.Bool
	k.log.Synced = func(_ context.Context, stream string, seq uint64) error {
		if stream != kittest.Stream || seq == 0 {
			t.Errorf("waits for %s:%d", stream, seq)
		}
		if !syncs.Load() {
			return errs.New(errs.Unavailable, "the disk has failed")
		}
		return nil
	}
	d, s := k.start(1)
	if _, err := d.Decide(t.Context(), command("w1", "c"), add(1), nil); !errs.Is(err, errs.Unavailable) {
		t.Errorf("decided: %v", err)
	}
	s.Save(t.Context())
	if files, err := os.ReadDir(k.dir); err != nil || len(files) != 0 {
		t.Errorf("the folder holds %v, %v", files, err)
	}
	if !strings.Contains(k.logged.String(), "the disk has failed") {
		t.Errorf("logged %q", k.logged.String())
	}
	syncs.Store(true)
	if _, err := d.Decide(t.Context(), command("w2", "c"), add(1), nil); err != nil {
		t.Fatal(err)
	}
	s.Save(t.Context())
	if total, folded := k.total(t, 1); total != 2 || folded != 0 {
		t.Errorf("the total is %d after folding %d events, want 2 after none", total, folded)
	}
}

// A log that does not answer is not taken for one that contradicts the snapshot.
func TestSnapshot_WaitsForTheLog(t *testing.T) {
	k := &keeper{log: kittest.New(t), dir: t.TempDir()}
	k.log.Add("c", 1)
	d, s := k.start(1)
	if err := d.Peek(t.Context(), "c", func(int) {}); err != nil {
		t.Fatal(err)
	}
	s.Save(t.Context())
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	k.folded.Store(0)
	again, _ := k.start(1)
	if err := again.Peek(ended, "c", func(int) { t.Error("reads a state") }); err == nil {
		t.Error("no error without the log")
	}
	if err := again.Peek(t.Context(), "c", func(n int) {
		if n != 1 || k.folded.Load() != 0 {
			t.Errorf("%d after folding %d events", n, k.folded.Load())
		}
	}); err != nil {
		t.Error(err)
	}
}

// Decisions go on while snapshots of the same entity are written.
func TestSnapshot_IsWrittenBesideDecisions(t *testing.T) {
	k := &keeper{log: kittest.New(t), dir: t.TempDir(), every: 1, window: 80}
	d, s := k.start(1)
	var deciding sync.WaitGroup
	for i := range 8 {
		deciding.Go(func() {
			for n := range 10 {
				if _, err := d.Decide(t.Context(), command(fmt.Sprintf("w%d-%d", i, n), "c"), add(-1), nil); err != nil {
					t.Error(err)
				}
			}
		})
	}
	deciding.Wait()
	s.Save(t.Context())
	if total, folded := k.total(t, 1); total != -80 || folded != 0 {
		t.Errorf("the total is %d after folding %d events, want -80 after none", total, folded)
	}
}
