package events_test

import (
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"lonja/events"
)

var write = flag.Bool("write", false, "write golden events that are missing, and comments.json; never changes a golden event that is there")

// Every event that was ever recorded must stay readable. A golden file holds one as it was
// recorded. Golden files are added, and never changed or deleted: one in testdata/members has the
// members that a type got later.
func TestGolden_EventsAreDecodedAndEncodedUnchanged(t *testing.T) {
	files, err := filepath.Glob("testdata/*.json")
	if err != nil || len(files) == 0 {
		t.Fatalf("no golden files: %v", err)
	}
	later, err := filepath.Glob("testdata/members/*.json")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range append(files, later...) {
		typ := strings.TrimSuffix(filepath.Base(file), ".json")
		t.Run(strings.TrimPrefix(file, "testdata/"), func(t *testing.T) {
			golden, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			e, err := events.Decode(typ, golden)
			if !events.Known(typ) {
				t.Fatalf("no log that holds a %s can be read any more: keep its struct in older.go, and register its function to the next version with older", typ)
			}
			if err != nil {
				t.Fatal(err)
			}
			if slices.Contains(events.OlderTypes(), typ) {
				if slices.Contains(events.OlderTypes(), events.Type(e)) || withoutVersion(events.Type(e)) != withoutVersion(typ) {
					t.Errorf("decoded as %s", events.Type(e))
				}
				return
			}
			if events.Type(e) != typ {
				t.Fatalf("decoded as %s; a type that is no longer recorded is registered with older", events.Type(e))
			}
			written, err := events.Encode(e)
			if err != nil {
				t.Fatal(err)
			}
			if !sameJSON(t, golden, written) {
				t.Errorf("encoded as\n%s\nwant\n%s", written, golden)
			}
		})
	}
}

func TestGolden_EveryTypeHasAFileWithEveryField(t *testing.T) {
	for _, typ := range events.Types() {
		file := filepath.Join("testdata", typ+".json")
		golden, err := os.ReadFile(file)
		if os.IsNotExist(err) && *write {
			golden = sample(t, typ)
			err = os.WriteFile(file, golden, 0o644)
		}
		if err != nil {
			t.Errorf("%s: %v (go test ./events -write writes one)", typ, err)
			continue
		}
		e, err := events.Decode(typ, golden)
		if err != nil {
			t.Errorf("%s: %v", typ, err)
			continue
		}
		for i := range reflect.ValueOf(e).NumField() {
			if reflect.TypeOf(e).Field(i).Type == reflect.TypeFor[events.Sealed]() {
				continue // what it says is never recorded
			}
			if reflect.ValueOf(e).Field(i).IsZero() && !hasMember(t, typ, i) {
				t.Errorf("%s: the golden file lacks %s, so nothing would notice if it were renamed", typ, reflect.TypeOf(e).Field(i).Name)
			}
		}
	}
}

// hasMember reports whether the golden file of the members that a type got later has a field.
func hasMember(t *testing.T, typ string, field int) bool {
	t.Helper()
	file := filepath.Join("testdata", "members", typ+".json")
	golden, err := os.ReadFile(file)
	if os.IsNotExist(err) && *write {
		golden = sample(t, typ)
		err = os.WriteFile(file, golden, 0o644)
	}
	if err != nil {
		return false
	}
	e, err := events.Decode(typ, golden)
	return err == nil && !reflect.ValueOf(e).Field(field).IsZero()
}

func withoutVersion(typ string) string { return typ[:strings.LastIndex(typ, ".v")] }

func TestGolden_EveryOlderTypeHasAFile(t *testing.T) {
	for _, typ := range events.OlderTypes() {
		if _, err := os.Stat(filepath.Join("testdata", typ+".json")); err != nil {
			t.Errorf("%s: %v; keep the golden file of a type that was ever recorded", typ, err)
		}
	}
}

func sameJSON(t *testing.T, a, b []byte) bool {
	t.Helper()
	var x, y any
	if err := json.Unmarshal(a, &x); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(b, &y); err != nil {
		t.Fatal(err)
	}
	return reflect.DeepEqual(x, y)
}
