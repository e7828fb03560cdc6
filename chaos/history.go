package main

import (
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// result is what a customer knows of a command.
type result string

const (
	ok      result = "ok"      // it was acknowledged: it took effect, once
	failed  result = "failed"  // it was refused: it took none
	unknown result = "unknown" // nobody told: it took effect once at most
)

// command is one thing that a customer wanted, however often they tried.
type wish struct {
	kind     string // place, pay, cancel
	who      *person
	key      string
	path     string
	body     string
	order    string // the order's id, once known
	location string // of the outcome, when it was accepted for later
	result   result
	status   int // of the last answer
	tries    int
	began    time.Time
	ended    time.Time
}

// history is all that customers wished for, and how they were answered.
type history struct {
	mu       sync.Mutex
	began    time.Time // the load
	wishes   []*wish
	answers  map[string]int    // "POST 201" -> how often
	details  map[string]string // and what the latest of them said
	problems []string          // answers that no customer may ever get
}

func newHistory() *history { return &history{answers: map[string]int{}, details: map[string]string{}} }

func (h *history) add(w *wish) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.wishes = append(h.wishes, w)
}

// answered counts an answer; status 0 means that none came.
func (h *history) answered(method string, status int, detail string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	kind := method + " " + strconv.Itoa(status)
	h.answers[kind]++
	h.details[kind] = detail
	if status == 500 && len(h.problems) < 5 {
		h.problems = append(h.problems, method+" was answered with 500: "+detail)
	}
}

// of are the commands of a kind.
func (h *history) of(kind string) []*wish {
	h.mu.Lock()
	defer h.mu.Unlock()
	var found []*wish
	for _, w := range h.wishes {
		if w.kind == kind {
			found = append(found, w)
		}
	}
	return found
}

// orderedSince tells whether an order was acknowledged that was wished for
// after a time.
func (h *history) orderedSince(since time.Time) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.ContainsFunc(h.wishes, func(w *wish) bool {
		return w.kind == "place" && w.result == ok && w.began.After(since)
	})
}

// longestSilence is the longest time since the load began during which no order
// was acknowledged.
func (h *history) longestSilence() (longest time.Duration) {
	h.mu.Lock()
	defer h.mu.Unlock()
	times := []time.Time{h.began, time.Now()}
	for _, w := range h.wishes {
		if w.kind == "place" && w.result == ok {
			times = append(times, w.ended)
		}
	}
	slices.SortFunc(times, time.Time.Compare)
	for i := 1; i < len(times); i++ {
		longest = max(longest, times[i].Sub(times[i-1]))
	}
	return longest
}

// count503 is how many requests were answered with 503.
func (h *history) count503() (n int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for kind, times := range h.answers {
		if strings.HasSuffix(kind, " 503") {
			n += times
		}
	}
	return n
}
