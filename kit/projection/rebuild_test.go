package projection_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"lonja/kit/errs"
	"lonja/kit/eventlog"
	"lonja/kit/kittest"
	"lonja/kit/projection"
)

// doubled is another version of totals. It counts everything twice, has one more column, and
// projects nothing before gate is closed.
func doubled(gate <-chan struct{}) projection.Definition {
	def := totals
	def.Version = "2"
	def.Schema = `CREATE TABLE totals (counter TEXT PRIMARY KEY, total INTEGER NOT NULL, times INTEGER NOT NULL DEFAULT 2);`
	def.Project = func(tx *projection.Tx, r eventlog.Record) error {
		<-gate
		return errors.Join(totals.Project(tx, r), totals.Project(tx, r))
	}
	return def
}

func TestView_ServesOldRowsWhileAChangedDefinitionIsBuilt(t *testing.T) {
	h := newHarness(t)
	v, stop := h.run(totals)
	last := h.log.Add("c", 5)
	h.await(v, last)
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	gate := make(chan struct{})
	v, stop = h.run(doubled(gate))
	h.eventually(func() error {
		if _, building := v.Building(); !building || !v.Queryable() {
			return fmt.Errorf("building %v, queryable %v", building, v.Queryable())
		}
		return nil
	})
	h.await(v, last)
	h.wantTotal(v, "c", 5)
	var times int
	if _, err := v.Get(t.Context(), `SELECT times FROM totals`, nil, &times); !errs.Is(err, errs.Unavailable) {
		t.Errorf("a query that does not fit the old rows: %v", err)
	}
	if err := v.Each(t.Context(), `SELECT times FROM totals`, nil, func(func(...any) error) error { return nil }); !errs.Is(err, errs.Unavailable) {
		t.Errorf("the same with Each: %v", err)
	}
	soon, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if err := v.Await(soon, projection.Token{kittest.Stream: h.log.Add("c", 1)}); !errs.Is(err, errs.Unavailable) {
		t.Errorf("old rows that are no longer fed cannot hold a new event, got %v", err)
	}
	close(gate)
	h.await(v, last+1)
	h.awaitTotal(v, "c", 12)
	h.await(v, h.log.Add("c", 1))
	h.wantTotal(v, "c", 14)
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	h.wantOneFile()
}

// wantOneFile verifies that the directory holds one file and no remains of others.
func (h *harness) wantOneFile() {
	h.t.Helper()
	h.file()
	if all, err := os.ReadDir(h.dir); err != nil || len(all) != 1 {
		h.t.Errorf("left in the directory: %v, %v", all, err)
	}
}

func TestView_IsUnavailableUntilItsFirstBuildEnds(t *testing.T) {
	h := newHarness(t)
	last := h.log.Add("c", 5)
	gate := make(chan struct{})
	v, stop := h.run(doubled(gate))
	if _, err := h.total(v, "c"); !errs.Is(err, errs.Unavailable) || v.Queryable() {
		t.Errorf("got %v, queryable %v", err, v.Queryable())
	}
	soon, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if err := v.Await(soon, nil); !errs.Is(err, errs.Unavailable) {
		t.Errorf("waiting until the view can be queried: %v", err)
	}
	h.eventually(func() error {
		lag, err := v.Lag(t.Context())
		if err == nil && lag[kittest.Stream] > 1 {
			err = fmt.Errorf("lag %v", lag)
		}
		return err
	})
	close(gate)
	h.await(v, last)
	h.wantTotal(v, "c", 10)
	if err := stop(); err != nil {
		t.Fatal(err)
	}
}

func TestRebuild_LosesAndRepeatsNoEvent(t *testing.T) {
	h := newHarness(t)
	h.log.Add("c", 1)
	v, stop := h.run(totals)
	adding, added := make(chan struct{}), make(chan uint64)
	go func() {
		var last uint64
		for {
			select {
			case <-adding:
				added <- last
				return
			default:
				last = h.log.Add("c", 1)
			}
		}
	}()
	h.await(v, 20)
	for range 5 {
		before, _ := h.total(v, "c")
		if err := v.Rebuild(t.Context()); err != nil {
			t.Fatal(err)
		}
		if after, err := h.total(v, "c"); err != nil || after < before {
			t.Errorf("the total went back from %d to %d (%v)", before, after, err)
		}
		if built := v.LastBuild(); built.Events < uint64(before) || built.Bytes == 0 || built.Duration == 0 {
			t.Errorf("built %+v", built)
		}
	}
	close(adding)
	last := <-added
	h.await(v, last)
	h.wantTotal(v, "c", int(last))
	h.eventually(func() error {
		lag, err := v.Lag(t.Context())
		if err == nil && lag[kittest.Stream] != 0 {
			err = fmt.Errorf("lag %v", lag)
		}
		return err
	})
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	h.wantOneFile()
	if names := h.consumers(); len(names) != 1 || names[0] != durable {
		t.Errorf("consumers %v", names)
	}
	if err := v.Rebuild(t.Context()); !errs.Is(err, errs.Unavailable) {
		t.Errorf("a view that has stopped: %v", err)
	}
}

func (h *harness) consumers() (names []string) {
	h.t.Helper()
	stream, err := h.log.JS.Stream(h.t.Context(), kittest.Stream)
	if err != nil {
		h.t.Fatal(err)
	}
	for name := range stream.ConsumerNames(h.t.Context()).Name() {
		names = append(names, name)
	}
	return names
}

func TestRebuild_KeepsTheOldRowsWhenItFails(t *testing.T) {
	h := newHarness(t)
	failing := false
	flaky := totals
	flaky.Project = func(tx *projection.Tx, r eventlog.Record) error {
		if failing && r.Event.(kittest.Added).By == 2 {
			return errors.New("not again")
		}
		return totals.Project(tx, r)
	}
	v, stop := h.run(flaky)
	h.await(v, h.log.Add("c", 2))
	failing = true
	if err := v.Rebuild(t.Context()); err == nil || !strings.Contains(err.Error(), "not again") {
		t.Errorf("got %v", err)
	}
	h.await(v, h.log.Add("c", 4))
	h.wantTotal(v, "c", 6)
	if err := v.Failed(); err != nil {
		t.Error(err)
	}
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	h.wantOneFile()
}

func TestView_ServesOldRowsWhenAChangedDefinitionFails(t *testing.T) {
	h := newHarness(t)
	v, stop := h.run(totals)
	last := h.log.Add("c", 5)
	h.await(v, last)
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	for _, wrong := range []func(*projection.Definition){
		func(d *projection.Definition) {
			d.Project = func(*projection.Tx, eventlog.Record) error { return errors.New("wrong") }
		},
		func(d *projection.Definition) { d.Schema = "CREATE wrong" },
	} {
		def := totals
		def.Version = "2"
		wrong(&def)
		v, err := h.open(def)
		if err != nil {
			t.Fatal(err)
		}
		if err := v.Run(t.Context()); err == nil || !strings.Contains(err.Error(), "wrong") {
			t.Fatalf("the view should have stopped, got %v", err)
		}
		h.wantTotal(v, "c", 5)
		if err := v.Await(t.Context(), projection.Token{kittest.Stream: last + 1}); !errs.Is(err, errs.Unavailable) {
			t.Errorf("waiting for a view that has stopped: %v", err)
		}
		if err := v.Close(); err != nil {
			t.Fatal(err)
		}
	}
	h.wantOneFile()
}

func TestRebuild_DoesNotRepeatDeadLetters(t *testing.T) {
	h := newHarness(t)
	h.log.Poison("events.counter.c.added", "not JSON")
	v, stop := h.run(totals)
	h.await(v, h.log.Add("c", 1))
	if err := v.Rebuild(t.Context()); err != nil {
		t.Fatal(err)
	}
	h.wantTotal(v, "c", 1)
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	if len(h.deadLetters) != 1 {
		t.Errorf("dead letters %v", h.deadLetters)
	}
}

func TestAwait_ReachesAnEventThatTheViewDoesNotRead(t *testing.T) {
	h := newHarness(t)
	some := totals
	some.Reads = []projection.Source{{Stream: kittest.Stream, Subjects: []string{"events.counter.c.*"}}}
	h.log.Add("other", 1)
	v, stop := h.run(some)
	h.await(v, h.log.Add("other", 1))
	for range 20 {
		h.log.Add("c", 1)
		h.await(v, h.log.Add("other", 1))
	}
	h.wantTotal(v, "c", 20)
	h.wantTotal(v, "other", 0)
	if err := v.Rebuild(t.Context()); err != nil {
		t.Fatal(err)
	}
	h.await(v, 42)
	if err := stop(); err != nil {
		t.Fatal(err)
	}
}

func TestView_StopsWhenItsStreamIsReplaced(t *testing.T) {
	h := newHarness(t)
	v, stop := h.run(totals)
	h.await(v, h.log.Add("c", 1))
	if err := h.log.JS.DeleteStream(t.Context(), kittest.Stream); err != nil {
		t.Fatal(err)
	}
	if _, err := h.log.JS.CreateStream(t.Context(), jetstream.StreamConfig{Name: kittest.Stream, Subjects: []string{"events.counter.>"}, AllowDirect: true}); err != nil {
		t.Fatal(err)
	}
	h.log.Add("c", 1)
	h.eventually(func() error {
		if v.Failed() == nil {
			return errors.New("the view has not failed")
		}
		return nil
	})
	h.wantTotal(v, "c", 1)
	if err := stop(); err == nil || !strings.Contains(err.Error(), "events may be lost") {
		t.Errorf("got %v", err)
	}
}

func TestReplay_EndsAtTheGivenSequence(t *testing.T) {
	h := newHarness(t)
	v, stop := h.run(totals)
	for range 9 {
		h.log.Add("c", 1)
	}
	h.await(v, h.log.Add("c", 1))
	files, err := v.Files(h.dir)
	if err != nil || len(files) != 1 || files[0] != h.file() {
		t.Errorf("files %v, %v", files, err)
	}
	dir := t.TempDir()
	config := projection.Config{JetStream: h.log.JS, Log: h.log.Log}
	if err := projection.New(totals).Replay(t.Context(), config, filepath.Join(dir, "replayed.db"), projection.Token{kittest.Stream: 7}); err != nil {
		t.Fatal(err)
	}
	if got := totalIn(t, filepath.Join(dir, "replayed.db"), "c"); got != 7 {
		t.Errorf("total %d, want 7", got)
	}
	if all, err := os.ReadDir(dir); err != nil || len(all) != 1 {
		t.Errorf("left in the directory: %v, %v", all, err)
	}
	if err := stop(); err != nil {
		t.Fatal(err)
	}
}
