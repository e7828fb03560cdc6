package main

import (
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// result is what a customer knows about a command.
type result string

const (
	ok      result = "ok"      // acknowledged: it took effect once
	failed  result = "failed"  // rejected: it had no effect
	unknown result = "unknown" // no conclusive answer: it took effect at most once
)

// command is a customer's command, however often it was sent.
type command struct {
	kind     string // place, pay, cancel
	by       *user
	key      string
	path     string
	body     string
	order    string // the order's id, once known
	location string // of the outcome, when it was deferred
	result   result
	status   int // of the last answer
	tries    int
	began    time.Time
	ended    time.Time
}

// history holds the customers' commands and the answers that they got.
type history struct {
	mu       sync.Mutex
	began    time.Time // the load
	commands []*command
	answers  map[string]int    // "POST 201" -> how often
	details  map[string]string // the latest answer of each kind
	problems []string          // answers that must never occur
}

func newHistory() *history { return &history{answers: map[string]int{}, details: map[string]string{}} }

func (h *history) add(c *command) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.commands = append(h.commands, c)
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

// of returns the commands of a kind.
func (h *history) of(kind string) []*command {
	h.mu.Lock()
	defer h.mu.Unlock()
	var found []*command
	for _, c := range h.commands {
		if c.kind == kind {
			found = append(found, c)
		}
	}
	return found
}

// orderedSince reports whether an order that was placed after a time was acknowledged.
func (h *history) orderedSince(since time.Time) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.ContainsFunc(h.commands, func(c *command) bool {
		return c.kind == "place" && c.result == ok && c.began.After(since)
	})
}

// longestSilence returns the longest time since the load began during which no order
// was acknowledged.
func (h *history) longestSilence() (longest time.Duration) {
	h.mu.Lock()
	defer h.mu.Unlock()
	times := []time.Time{h.began, time.Now()}
	for _, c := range h.commands {
		if c.kind == "place" && c.result == ok {
			times = append(times, c.ended)
		}
	}
	slices.SortFunc(times, time.Time.Compare)
	for i := 1; i < len(times); i++ {
		longest = max(longest, times[i].Sub(times[i-1]))
	}
	return longest
}

// count503 returns the number of requests that were answered with 503.
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
