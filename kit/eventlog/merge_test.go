package eventlog_test

import (
	"cmp"
	"slices"
	"strings"
	"testing"

	"lonja/kit/eventlog"
)

func TestMerge_KeepsTheOrderOfEachStream(t *testing.T) {
	byTime := func(a, b string) int { return cmp.Compare(a[1], b[1]) }
	stream := func(s string) string { return s[:1] }
	for all, want := range map[string]string{
		"":                     "",
		"A1 A2 A3":             "A1 A2 A3",
		"A2 A4 B1 B3":          "B1 A2 B3 A4",
		"A5 A3 A6 B4 B9":       "B4 A5 A3 A6 B9", // A's clock goes back
		"B1 B1 A1 A1":          "B1 B1 A1 A1",    // equal: the stream that occurs first
		"A1 B1 A1 C0 B0 C1 A0": "C0 A1 A1 A0 B1 B0 C1",
	} {
		given := strings.Fields(all)
		got := slices.Collect(eventlog.Merge(given, stream, byTime))
		if strings.Join(got, " ") != want {
			t.Errorf("%s became %v, want %s", all, got, want)
		}
		if strings.Join(given, " ") != all {
			t.Errorf("merging changed %s to %v", all, given)
		}
	}
}

func TestMerge_ComparesAgainAfterEachElement(t *testing.T) {
	var yielded []string
	first := "B1" // all of B comes before A until it was yielded
	compare := func(a, b string) int {
		if slices.Contains(yielded, first) {
			return strings.Compare(a, b)
		}
		return strings.Compare(b, a)
	}
	for s := range eventlog.Merge([]string{"A1", "A2", "B1", "B2"}, func(s string) string { return s[:1] }, compare) {
		if yielded = append(yielded, s); len(yielded) == 3 {
			break // Merge must stop
		}
	}
	if got := strings.Join(yielded, " "); got != "B1 A1 A2" {
		t.Errorf("yielded %s", got)
	}
}
