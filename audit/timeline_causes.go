package audit

import (
	"lonja/kit/eventlog"
)

// linkCauses sets the cause of each event. An event is caused by a command from
// outside or by a consumer's reaction to another event of the timeline. A reaction
// derives its command's id from that event's id and the consumer's name, so the
// cause is found by deriving the ids again.
func linkCauses(timeline []TimelineEvent, consumers []string) []TimelineEvent {
	type reaction struct {
		to       int
		consumer string
	}
	reactions := make(map[string]reaction, len(timeline)*len(consumers))
	for i, t := range timeline {
		for _, c := range consumers {
			reactions[eventlog.DeriveID(t.EventID, c)] = reaction{i, c}
		}
	}
	causes := make([]int, len(timeline))
	for i, t := range timeline {
		causes[i] = -1
		if r, found := reactions[t.Causation]; found && r.to != i {
			timeline[i].Consumer, timeline[i].Cause, causes[i] = r.consumer, timeline[r.to].Position(), r.to
		}
	}
	for i := range timeline {
		for at := causes[i]; at >= 0 && timeline[i].Depth < len(timeline); at = causes[at] {
			timeline[i].Depth++
		}
	}
	return timeline
}

// orderByCause merges events that are sorted stream by stream. Times come from
// several clocks, so they decide only where causes do not.
func orderByCause(timeline []TimelineEvent) []TimelineEvent {
	ordered, known := make([]TimelineEvent, 0, len(timeline)), map[string]bool{"": true}
	stream := func(t TimelineEvent) string { return t.Stream }
	for t := range eventlog.Merge(timeline, stream, func(a, b TimelineEvent) int {
		switch {
		case known[a.Cause] && !known[b.Cause]:
			return -1
		case known[b.Cause] && !known[a.Cause]:
			return 1
		}
		return a.Time.Compare(b.Time)
	}) {
		ordered, known[t.Position()] = append(ordered, t), true
	}
	return ordered
}
