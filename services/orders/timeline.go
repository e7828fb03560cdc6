package orders

import (
	"time"

	"lonja/events"
	"lonja/events/query"
	"lonja/kit/eventlog"
)

// mergeStreams merges entries that are sorted stream by stream into one timeline. Times order
// entries of different streams, and they come from the clocks of several machines: so an
// entry counts as no earlier than those before it on its stream, and order.placed comes
// first whatever the clocks show.
func mergeStreams(read []query.TimelineEntry) []query.TimelineEntry {
	latest := map[string]time.Time{} // of each stream, up to now
	at := func(e query.TimelineEntry) time.Time {
		if before := latest[e.Stream]; before.After(e.Time) {
			return before
		}
		return e.Time
	}
	placed := events.Type(events.OrderPlaced{})
	timeline := make([]query.TimelineEntry, 0, len(read))
	for e := range eventlog.Merge(read, func(e query.TimelineEntry) string { return e.Stream }, func(a, b query.TimelineEntry) int {
		switch {
		case a.Type == placed && b.Type != placed:
			return -1
		case b.Type == placed && a.Type != placed:
			return 1
		}
		return at(a).Compare(at(b))
	}) {
		timeline, latest[e.Stream] = append(timeline, e), at(e)
	}
	return timeline
}
