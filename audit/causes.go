package audit

import (
	"slices"

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

// inOrder makes one line of events that come stream by stream. The times are by
// several clocks, so they decide only where nothing else does.
func inOrder(told []Told) []Told {
	queues := map[string][]Told{}
	for _, t := range told {
		queues[t.Stream] = append(queues[t.Stream], t)
	}
	line, said := make([]Told, 0, len(told)), map[string]bool{"": true}
	for len(line) < len(told) {
		var next []Told // the first of each stream, those first whose cause was told
		for _, queue := range queues {
			if len(queue) > 0 {
				next = append(next, queue[0])
			}
		}
		first := slices.MinFunc(next, func(a, b Told) int {
			if said[a.Cause] != said[b.Cause] {
				if said[a.Cause] {
					return -1
				}
				return 1
			}
			return a.Time.Compare(b.Time)
		})
		line, said[first.Position()] = append(line, first), true
		queues[first.Stream] = queues[first.Stream][1:]
	}
	return line
}
