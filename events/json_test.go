package events_test

import (
	"bytes"
	"encoding/json"
	"reflect"
	"strings"
	"testing"

	"lonja/events"
)

// What logs hold was checked with encoding/json, so Decode must take and reject the same JSON, and
// make the same event of it, also where two readers could disagree.
func TestDecode_AgreesWithEncodingJSON(t *testing.T) {
	for _, e := range samples {
		data, err := json.Marshal(e)
		if err != nil {
			t.Fatal(err)
		}
		text := string(data)
		_, members, _ := strings.Cut(text, "{")
		for _, variant := range []string{text, strings.ToUpper(text), strings.ReplaceAll(text, "_", ""), "{" + strings.TrimSuffix(members, "}") + "," + members,
			text + " ", text + "{}", "[" + text + "]", "null", "", "{}"} {
			compareDecoding(t, e, []byte(variant))
		}
		for at := range data {
			for _, replacement := range []string{`"`, `\`, "\xff", "0", "-", ".", "{", "]", " ", "A", "e", ",", "\x00", `\u0041`, `\ud800`, "null", "1e2"} {
				compareDecoding(t, e, replaced(data, at, replacement))
			}
		}
	}
}

func replaced(data []byte, at int, by string) []byte {
	return append(append(bytes.Clone(data[:at]), by...), data[at+1:]...)
}

func compareDecoding(t *testing.T, of events.Event, data []byte) {
	t.Helper()
	into := reflect.New(reflect.TypeOf(of))
	wrong := json.Unmarshal(data, into.Interface())
	want := into.Elem().Interface().(events.Event)
	if wrong == nil {
		wrong = want.Check()
	}
	got, err := events.Decode(events.Type(of), data)
	switch {
	case (err == nil) != (wrong == nil):
		t.Errorf("%s %q: %v, and encoding/json says %v", events.Type(of), data, err, wrong)
	case err == nil && !reflect.DeepEqual(got, want):
		t.Errorf("%s %q is %+v, and %+v for encoding/json", events.Type(of), data, got, want)
	}
}
