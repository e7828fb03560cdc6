package eventlog

import (
	"iter"
	"slices"
)

// Merge yields what was read from several streams as one line. Each stream keeps its
// own order, whatever compare says: only the log knows it, and clocks may disagree.
// Of the streams' next elements the least comes first, and of equal ones that of the
// stream which all mentions first. Compare is called anew for each element, after
// those before it were yielded, so it may depend on them. All is left as it is.
func Merge[T any](all []T, stream func(T) string, compare func(a, b T) int) iter.Seq[T] {
	return func(yield func(T) bool) {
		at := map[string]int{}
		var queues [][]T // one for each stream; none is ever empty
		for _, t := range all {
			i, seen := at[stream(t)]
			if !seen {
				i = len(queues)
				at[stream(t)] = i
				queues = append(queues, nil)
			}
			queues[i] = append(queues[i], t)
		}
		for len(queues) > 0 {
			least := 0
			for i := range queues {
				if compare(queues[i][0], queues[least][0]) < 0 {
					least = i
				}
			}
			if !yield(queues[least][0]) {
				return
			}
			if queues[least] = queues[least][1:]; len(queues[least]) == 0 {
				queues = slices.Delete(queues, least, least+1)
			}
		}
	}
}
