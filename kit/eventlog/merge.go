package eventlog

import (
	"iter"
	"slices"
)

// Merge yields the elements of several streams in one sequence. The elements of a stream
// keep their order, whatever compare returns: only the log knows it, because clocks may
// disagree. Among the next elements of all streams, Merge yields the least one; if several
// are equal, the stream that occurs first in items wins.
//
// Merge calls compare again after each yielded element, so compare may depend on those
// that were yielded before. Merge does not change items.
func Merge[T any](items []T, stream func(T) string, compare func(a, b T) int) iter.Seq[T] {
	return func(yield func(T) bool) {
		index := map[string]int{}
		var queues [][]T // one for each stream; none is ever empty
		for _, item := range items {
			i, known := index[stream(item)]
			if !known {
				i = len(queues)
				index[stream(item)] = i
				queues = append(queues, nil)
			}
			queues[i] = append(queues[i], item)
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
