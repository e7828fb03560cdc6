package events_test

import (
	"slices"
	"testing"

	"lonja/events"
)

func TestPerSKU_SumsLinesInOrderOfFirstMention(t *testing.T) {
	items := []events.OrderItem{{SKU: "mug", Quantity: 2}, {SKU: "lamp", Quantity: 1}, {SKU: "mug", Quantity: 3}}
	lines := events.LinesOf(items)
	if want := []events.Quantity{{"mug", 2}, {"lamp", 1}, {"mug", 3}}; !slices.Equal(lines, want) {
		t.Errorf("lines %v, want %v", lines, want)
	}
	if got, want := events.PerSKU(lines), []events.Quantity{{"mug", 5}, {"lamp", 1}}; !slices.Equal(got, want) {
		t.Errorf("sums %v, want %v", got, want)
	}
	if lines[0].Quantity != 2 {
		t.Errorf("summing changed the lines to %v", lines)
	}
	if none := events.PerSKU(nil); none == nil || len(none) > 0 {
		t.Errorf("the sums of nothing are %#v, want an empty list", none)
	}
}
