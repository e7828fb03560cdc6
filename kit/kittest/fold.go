package kittest

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"testing"

	"lonja/kit/decider"
	"lonja/kit/eventlog"
)

// CheckFold checks that an entity type still makes the same state of the same events, as far as
// snapshots of its present version hold it. Golden is "version:hash", as the failing test prints it.
// Records must hold every type of event that the state depends on, and must not change.
//
// A program that folds differently must not go on from a snapshot of an earlier one. So a state
// that has changed fails the test unless Snapshot.Version has changed, too. Encode must write the same
// bytes for the same state.
func CheckFold[S any](t testing.TB, entityType decider.EntityType[S], records []eventlog.Record, golden string) {
	t.Helper()
	encoded, err := fold(entityType, records)
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(encoded)
	got := fmt.Sprintf("%d:%s", entityType.Snapshot.Version, hex.EncodeToString(sum[:8]))
	if got == golden {
		return
	}
	var version int
	var hash string
	if _, err := fmt.Sscanf(golden, "%d:%s", &version, &hash); err == nil && version == entityType.Snapshot.Version {
		t.Errorf("the state of %s is another one than before, but snapshots still have version %d: add 1 to Snapshot.Version, and run the test again for the new golden value", entityType.Subject, version)
		return
	}
	t.Errorf("the golden fold of %s is %q; put it in the place of %q", entityType.Subject, got, golden)
}

// fold returns the state after the records as a snapshot holds it. It passes the state through a
// snapshot in the middle, which must make no difference.
func fold[S any](entityType decider.EntityType[S], records []eventlog.Record) ([]byte, error) {
	var whole, parts S
	if entityType.New != nil {
		whole, parts = entityType.New(), entityType.New()
	}
	evolve := entityType.EvolveRecord
	if evolve == nil {
		evolve = func(s S, r eventlog.Record) S { return entityType.Evolve(s, r.Event, r.Time) }
	}
	for i, r := range records {
		whole = evolve(whole, r)
		if i == len(records)/2 {
			encoded, err := entityType.Snapshot.Encode(parts)()
			if err != nil {
				return nil, err
			}
			if parts, err = entityType.Snapshot.Decode(encoded); err != nil {
				return nil, err
			}
		}
		parts = evolve(parts, r)
	}
	want, err := entityType.Snapshot.Encode(whole)()
	if err != nil {
		return nil, err
	}
	if got, err := entityType.Snapshot.Encode(parts)(); err != nil || string(got) != string(want) {
		return nil, fmt.Errorf("a snapshot of %s makes another state: Decode does not read all that Encode writes, or Encode does not write all (%v)", entityType.Subject, err)
	}
	return want, nil
}
