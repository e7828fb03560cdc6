package streams

import (
	"fmt"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

func TestLayout_ItsTextIsReadAsItWasWritten(t *testing.T) {
	for text, want := range map[string][]Count{
		"": nil, "1": {{1, 1}}, "2": {{2, 1}}, "1,2@1042,16@9000": {{1, 1}, {2, 1042}, {16, 9000}},
	} {
		if got, err := parseCounts(text); err != nil || !slices.Equal(got, want) || formatCounts(got) != text {
			t.Errorf("%q is read as %v, %v, and written as %q", text, got, err, formatCounts(got))
		}
	}
	for _, wrong := range []string{"0", "-1", "x", "2,2", "2,1", "1,17@5", "1,2@x", "1,2@0", "1,2@9,3@8", ",", "1,"} {
		if got, err := parseCounts(wrong); err == nil {
			t.Errorf("%q is read as %v", wrong, got)
		}
	}
}

func TestLayout_WithoutPartitionsNothingChanges(t *testing.T) {
	var l Layout
	if got := l.Partitions("ORDERS"); !slices.Equal(got, []string{"ORDERS"}) {
		t.Errorf("partitions: %v", got)
	}
	if got := l.Homes("ORDERS", "ord_1"); !slices.Equal(got, []string{"ORDERS"}) {
		t.Errorf("homes: %v", got)
	}
	if n := l.Number("ORDERS", 7); n != 7 {
		t.Errorf("number %d", n)
	}
	if stream, seq := l.Place("ORDERS", 7); stream != "ORDERS" || seq != 7 {
		t.Errorf("place %s:%d", stream, seq)
	}
	config := &Config{Streams: []Stream{{}}}
	if config.With(l) != config {
		t.Error("the configuration is another one")
	}
}

// grown returns a layout whose counts grow, and where its partitions begin.
func grown(t *rapid.T) []Count {
	counts := []Count{{rapid.IntRange(1, 4).Draw(t, "first"), 1}}
	for n := counts[0].Partitions; n < MaxPartitions && rapid.Bool().Draw(t, "grow"); {
		n = rapid.IntRange(n+1, MaxPartitions).Draw(t, "next")
		last := counts[len(counts)-1]
		counts = append(counts, Count{n, last.From + rapid.Uint64Range(0, 1000).Draw(t, "more")})
	}
	return counts
}

func TestLayout_GrowthMovesEntitiesToNewPartitionsOnly(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		counts, id := grown(t), rapid.StringN(1, 40, -1).Draw(t, "id")
		var were []string // where each count puts it, the newest first
		for i := range counts {
			homes := Layout{"ORDERS": counts[:i+1]}.Homes("ORDERS", id)
			if _, k := split(homes[0]); i > 0 && homes[0] != were[0] && k < counts[i-1].Partitions {
				t.Fatalf("count %d moves it from %s to the older %s", counts[i].Partitions, were[0], homes[0])
			}
			if i == 0 || homes[0] != were[0] {
				were = append([]string{homes[0]}, were...)
			}
			if !slices.Equal(homes, were) {
				t.Fatalf("it may be in %v; it was put in %v", homes, were)
			}
		}
	})
}

func TestLayout_SpreadsEntitiesEvenly(t *testing.T) {
	l, has := Layout{"ORDERS": {{1, 1}, {4, 10}}}, map[string]int{}
	const ids = 8000
	for i := range ids {
		has[l.Homes("ORDERS", fmt.Sprintf("ord_%d", i))[0]]++
	}
	for _, name := range l.Partitions("ORDERS") {
		if share := float64(has[name]) / ids; share < 0.22 || share > 0.28 {
			t.Errorf("%s has %.2f of the entities", name, share)
		}
	}
}

func TestLayout_NumbersNameOnePlace(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		l := Layout{"ORDERS": grown(t)}
		seq := rapid.Uint64Range(l.since("ORDERS"), 1<<40)
		partitions := rapid.SampledFrom(l.Partitions("ORDERS"))
		a, b := partitions.Draw(t, "a"), partitions.Draw(t, "b")
		m, n := seq.Draw(t, "m"), seq.Draw(t, "n")
		number := l.Number(a, m)
		if stream, back := l.Place("ORDERS", number); stream != a && len(l.Partitions("ORDERS")) > 1 || back != m {
			t.Fatalf("%s:%d has the number %d, which is %s:%d", a, m, number, stream, back)
		}
		if other := l.Number(b, n); m < n && number >= other {
			t.Fatalf("%s:%d has the number %d, and %s:%d has %d", a, m, number, b, n, other)
		}
	})
}

func TestSubjectOn_IsUndoneByBaseSubject(t *testing.T) {
	for _, test := range []struct{ stream, subject, want string }{
		{"ORDERS", "events.order.ord_1.placed", "events.order.ord_1.placed"},
		{"ORDERS-2", "events.order.ord_1.placed", "events.order-2.ord_1.placed"},
		{"ORDERS-12", "events.order.>", "events.order-12.>"},
		{"ORDERS-1", "events.order.ord-3.placed", "events.order-1.ord-3.placed"},
		{"ORDERS-1", "timers.due.x", "timers.due.x"},
	} {
		got := SubjectOn(test.stream, test.subject)
		if got != test.want || BaseSubject(got) != test.subject {
			t.Errorf("%s on %s: got %s and back %s", test.subject, test.stream, got, BaseSubject(got))
		}
	}
}
