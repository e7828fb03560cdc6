package main

import (
	"strings"
	"testing"

	"lonja/audit"
	"lonja/events"
)

func TestTimeline_HasColoursOnlyOnATerminalAndNoControlCharacters(t *testing.T) {
	timeline := []audit.TimelineEvent{{Stream: "CATALOG", Sequence: 1, Type: "lonja.product.created.v1", Actor: "usr_boss",
		Event: events.ProductCreated{Product: events.Product{SKU: "71053", Name: "Lantern\x1b[2J\r", Price: events.Money{Amount: 339, Currency: "GBP"}}}}}
	for _, colour := range []bool{true, false} {
		var out strings.Builder
		if err := writeTimeline(&out, "71053", timeline, colour); err != nil {
			t.Fatal(err)
		}
		if strings.Contains(out.String(), "\x1b[1mproduct.created") != colour || strings.Contains(out.String(), "[2J\r") || strings.Contains(out.String(), "\x1b[2J") {
			t.Errorf("in colour %t: %q", colour, out.String())
		}
		if !strings.HasSuffix(out.String(), "Lantern [2J , 3.39 GBP\n1 events in 0s\n") {
			t.Errorf("in colour %t: %q", colour, out.String())
		}
	}
}
