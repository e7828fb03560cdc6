package projection_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"lonja/kit/eventlog"
	"lonja/kit/kittest"
	"lonja/kit/projection"
)

// Each counter of these tests is a person. What is kept on them contains the marker, except
// on those whose names begin with quiet: they stay, and so do the pages that they are in.
const (
	marker = "MARKER-"
	quiet  = "q-"
)

// What adding these numbers to a person's counter means.
const (
	joined = 1 + iota
	wrote
	left
)

// people holds the marker in rows, in indexes and in overflow pages.
var people = projection.Definition{
	Name: "people",
	Schema: `CREATE TABLE people (number INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, mail TEXT NOT NULL, note TEXT NOT NULL);
		CREATE INDEX mails ON people (mail);`,
	Reads: []projection.Source{{Stream: kittest.Stream, Subjects: []string{"events.counter.>"}}},
	Project: func(tx *projection.Tx, r eventlog.Record) error {
		person := r.Event.(kittest.Added)
		tx.MarkChanged(person.Counter)
		says := strings.Repeat(marker, 1+int(r.Sequence%7)) + person.Counter
		if strings.HasPrefix(person.Counter, quiet) {
			says = strings.ToLower(says)
		}
		switch person.By {
		case joined:
			return tx.Exec(`INSERT INTO people (number, id, mail, note) VALUES (?, ?, ?, ?)`, int64(r.Sequence*2654435761%(1<<32)), person.Counter, says, says)
		case wrote:
			return tx.Exec(`UPDATE people SET mail = ?, note = ? WHERE id = ?`, says, strings.Repeat(says, int(r.Sequence%300)), person.Counter)
		}
		return tx.Erase(`DELETE FROM people WHERE id = ?`, person.Counter)
	},
}

// join records n people, and as many quiet ones, who join in an order in which pages split.
// Some of the others write. It returns the ids of those.
func (h *harness) join(n int) (ids []string, last uint64) {
	random := rand.New(rand.NewPCG(uint64(n), 1))
	for range n {
		id := fmt.Sprintf("%016x", random.Uint64())
		ids = append(ids, id)
		h.log.Add(id, joined)
		last = h.log.Add(fmt.Sprintf("%s%016x", quiet, random.Uint64()), joined)
		if random.IntN(3) == 0 {
			last = h.log.Add(ids[random.IntN(len(ids))], wrote)
		}
	}
	return ids, last
}

func (h *harness) leave(ids []string) (last uint64) {
	for _, id := range ids {
		last = h.log.Add(id, left)
	}
	return last
}

// filesWithMarker returns the names of the files in a folder that contain the marker.
func filesWithMarker(t *testing.T, dir string) (names []string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	must(t, err)
	for _, e := range entries {
		data, err := os.ReadFile(filepath.Join(dir, e.Name()))
		if errors.Is(err, os.ErrNotExist) {
			continue // it was just removed
		}
		must(t, err)
		if bytes.Contains(data, []byte(marker)) {
			names = append(names, e.Name())
		}
	}
	return names
}

func (h *harness) awaitNoMarker() {
	h.t.Helper()
	h.eventually(func() error {
		if names := filesWithMarker(h.t, h.dir); len(names) > 0 {
			return fmt.Errorf("%v contain what was erased", names)
		}
		return nil
	})
}

// wantPeople checks how many people are in the view who are not quiet.
func (h *harness) wantPeople(v *projection.View, want int) {
	h.t.Helper()
	var got int
	if _, err := v.Get(h.t.Context(), `SELECT count(*) FROM people WHERE id NOT LIKE ?`, []any{quiet + "%"}, &got); err != nil || got != want {
		h.t.Errorf("%d people, want %d (%v)", got, want, err)
	}
}

func TestErase_LeavesNothingInTheFiles(t *testing.T) {
	h := newHarness(t)
	v, stop := h.run(people)
	ids, last := h.join(2000)
	h.await(v, last)
	if len(filesWithMarker(t, h.dir)) == 0 {
		t.Fatal("no file contains the rows")
	}
	h.await(v, h.leave(ids))
	h.wantPeople(v, 0)
	h.awaitNoMarker()

	h.await(v, h.log.Add("someone", joined)) // the file is intact
	h.wantPeople(v, 1)
	must(t, stop())
	v, stop = h.run(people)
	h.wantPeople(v, 1)
	must(t, stop())
}

func TestErase_WaitsForQueriesButTheViewGoesOn(t *testing.T) {
	h := newHarness(t)
	v, stop := h.run(people)
	ids, last := h.join(20)
	h.await(v, last)
	reading, finish := make(chan bool), make(chan bool)
	read := make(chan error, 1)
	go func() {
		seen := 0
		read <- v.Each(t.Context(), `SELECT id FROM people`, nil, func(func(...any) error) error {
			if seen++; seen == 1 {
				close(reading)
				<-finish
			}
			return nil
		})
	}()
	<-reading
	h.await(v, h.leave(ids))
	h.await(v, h.log.Add("someone", joined))
	h.await(v, h.log.Add("someone", left))
	h.wantPeople(v, 0)
	if len(filesWithMarker(t, h.dir)) == 0 {
		t.Error("nothing was left for the query to read")
	}
	close(finish)
	must(t, <-read)
	h.awaitNoMarker()
	must(t, stop())
}

// The folder is copied at the worst moment, after the commit and before anything else.
func TestErase_IsCompletedAfterACrash(t *testing.T) {
	h := newHarness(t)
	ids, last := h.join(2000)
	crashed := t.TempDir()
	v := projection.New(people)
	must(t, v.Open(t.Context(), projection.Config{
		JetStream: h.log.JS, Log: h.log.Log, Dir: h.dir, Consumer: consumerPrefix, Logger: slog.New(slog.DiscardHandler),
		OnChange: func(changes []projection.KeyChange) {
			if changes[len(changes)-1].Sequence == last+uint64(len(ids)) {
				if err := os.CopyFS(crashed, os.DirFS(h.dir)); err != nil {
					t.Error(err)
				}
			}
		},
	}))
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	ended := make(chan error, 1)
	go func() { ended <- v.Run(ctx) }()
	h.await(v, last)
	h.await(v, h.leave(ids))
	cancel()
	must(t, errors.Join(<-ended, v.Close()))
	if len(filesWithMarker(t, crashed)) == 0 {
		t.Fatal("nothing was left to erase")
	}

	h.dir = crashed
	v, stop := h.run(people)
	h.wantPeople(v, 0)
	h.awaitNoMarker()
	must(t, stop())
}

func TestErase_ReachesAReplicaThatWasOffline(t *testing.T) {
	h := newHarness(t)
	v, stop := h.run(people)
	ids, last := h.join(500)
	h.await(v, last)
	must(t, stop())
	last = h.leave(ids)
	v, stop = h.run(people)
	h.await(v, last)
	h.awaitNoMarker()
	must(t, stop())
}

func TestErase_IsRepeatedByARebuild(t *testing.T) {
	h := newHarness(t)
	v, stop := h.run(people)
	ids, last := h.join(2000)
	h.await(v, last)
	must(t, stop())
	last = h.leave(ids)

	changed := people // so the file that was made before is replaced, without any Erase in it
	changed.Version = "2"
	v, stop = h.run(changed)
	h.await(v, last)
	h.eventually(func() error {
		if v.LastBuild().Events == 0 {
			return errors.New("the view is being rebuilt")
		}
		return nil
	})
	h.awaitNoMarker()
	must(t, v.Rebuild(t.Context()))
	h.wantPeople(v, 0)
	h.awaitNoMarker()
	must(t, stop())
	if names := filesWithMarker(t, h.dir); len(names) > 0 {
		t.Errorf("after the stop, %v contain what was erased", names)
	}
}
