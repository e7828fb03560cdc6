package projection_test

import (
	"sync/atomic"
	"testing"

	"lonja/kit/eventlog"
	"lonja/kit/projection"
)

// namedIndexes counts the indexes that the schema below names.
const namedIndexes = `SELECT count(*) FROM sqlite_schema WHERE type = 'index' AND sql IS NOT NULL`

func TestLateIndexes_AreThereOnceTheRowsServe(t *testing.T) {
	h := newHarness(t)
	h.log.Add("c", 1)
	last := h.log.Add("d", 2)
	var during atomic.Int64
	def := totals
	def.LateIndexes = true
	def.Schema = `CREATE TABLE totals (counter TEXT PRIMARY KEY, total INTEGER NOT NULL);
		CREATE INDEX "by total" ON totals (total);
		CREATE UNIQUE INDEX by_both ON totals (total, counter);`
	def.Project = func(tx *projection.Tx, r eventlog.Record) error {
		var count int64
		if _, err := tx.Get(namedIndexes, nil, &count); err != nil {
			return err
		}
		during.Store(count)
		return totals.Project(tx, r)
	}
	v, stop := h.run(def)
	h.await(v, last)
	if got := during.Load(); got != 1 {
		t.Errorf("%d indexes during the build, expected the unique one only", got)
	}
	var after int64
	if _, err := v.Get(t.Context(), namedIndexes, nil, &after); err != nil || after != 2 {
		t.Errorf("%d indexes afterwards, %v", after, err)
	}
	var counter string
	if found, err := v.Get(t.Context(), `SELECT counter FROM totals INDEXED BY "by total" WHERE total = 2`, nil, &counter); !found || counter != "d" {
		t.Errorf("by the index: %q, %v", counter, err)
	}
	h.await(v, h.log.Add("c", 4))
	h.wantTotal(v, "c", 5)
	if got := during.Load(); got != 2 {
		t.Errorf("%d indexes after the build", got)
	}
	if err := v.Rebuild(t.Context()); err != nil {
		t.Fatal(err)
	}
	h.wantTotal(v, "c", 5)
	if _, err := v.Get(t.Context(), namedIndexes, nil, &after); err != nil || after != 2 {
		t.Errorf("%d indexes after another build, %v", after, err)
	}
	if err := stop(); err != nil {
		t.Fatal(err)
	}
}
