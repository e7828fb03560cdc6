package audit

import (
	"lonja/kit/eventlog"
)

// findCauses finds out what each event came from: a command from outside, or a
// consumer's reaction to another event of the story, which derived the
// command's id from that event's and its own name.
func findCauses(told []Told, consumers []string) []Told {
	type reaction struct {
		to       int
		consumer string
	}
	reactions := make(map[string]reaction, len(told)*len(consumers))
	for i, t := range told {
		for _, c := range consumers {
			reactions[eventlog.DeriveID(t.EventID, c)] = reaction{i, c}
		}
	}
	causes := make([]int, len(told))
	for i, t := range told {
		causes[i] = -1
		if r, found := reactions[t.Causation]; found && r.to != i {
			told[i].Consumer, told[i].Cause, causes[i] = r.consumer, told[r.to].Position(), r.to
		}
	}
	for i := range told {
		for at := causes[i]; at >= 0 && told[i].Depth < len(told); at = causes[at] {
			told[i].Depth++
		}
	}
	return told
}

// causesFirst makes one line of events that come stream by stream. The times are by
// several clocks, so they decide only where nothing else does.
func causesFirst(told []Told) []Told {
	line, said := make([]Told, 0, len(told)), map[string]bool{"": true}
	stream := func(t Told) string { return t.Stream }
	for t := range eventlog.Merge(told, stream, func(a, b Told) int {
		switch {
		case said[a.Cause] && !said[b.Cause]:
			return -1
		case said[b.Cause] && !said[a.Cause]:
			return 1
		}
		return a.Time.Compare(b.Time)
	}) {
		line, said[t.Position()] = append(line, t), true
	}
	return line
}
