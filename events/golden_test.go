package events_test

import (
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"lonja/events"
)

var write = flag.Bool("write", false, "write golden events that are missing, and comments.json; never changes a golden event that is there")

// Every event that was ever recorded must stay readable. A golden file holds one as it was
// recorded. Golden files are added, and never changed or deleted.
func TestGolden_EventsAreDecodedAndEncodedUnchanged(t *testing.T) {
	files, err := filepath.Glob("testdata/*.json")
	if err != nil || len(files) == 0 {
		t.Fatalf("no golden files: %v", err)
	}
	for _, file := range files {
		typ := strings.TrimSuffix(filepath.Base(file), ".json")
		t.Run(typ, func(t *testing.T) {
			golden, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			e, err := events.Decode(typ, golden)
			if err != nil {
				t.Fatal(err)
			}
			if events.Type(e) != typ {
				t.Fatalf("decoded as %s", events.Type(e))
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
			if reflect.ValueOf(e).Field(i).IsZero() {
				t.Errorf("%s: the golden file lacks %s, so nothing would notice if it were renamed", typ, reflect.TypeOf(e).Field(i).Name)
			}
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
