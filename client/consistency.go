package client

import (
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
)

// consistency is what a client has seen: of each of the shop's streams, how far.
type consistency struct {
	mu      sync.Mutex
	seen    map[string]uint64
	written string // the token that says so
}

// Consistency is a token of all that this client has seen, "" for nothing. Given
// to [Client.Observe] or [WithConsistency], or kept beside a customer's session, it
// makes other clients' reads show as much. It is opaque to callers.
func (c *Client) Consistency() string {
	if c.seen == nil {
		return ""
	}
	c.seen.mu.Lock()
	defer c.seen.mu.Unlock()
	return c.seen.written
}

// Observe makes everything that this client asks from now on show at least what a
// consistency token stands for, besides what the client has seen itself. A token
// that makes no sense is ignored.
func (c *Client) Observe(token string) {
	if c.seen == nil || token == "" {
		return
	}
	c.seen.mu.Lock()
	defer c.seen.mu.Unlock()
	if c.seen.add(token) {
		c.seen.write()
	}
}

// ResetConsistency forgets what this client has seen. That is wanted after the
// shop was restored to an earlier state: it answers 400 with the field
// Consistency-Token to those who have seen more than it has.
func (c *Client) ResetConsistency() {
	if c.seen == nil {
		return
	}
	c.seen.mu.Lock()
	defer c.seen.mu.Unlock()
	c.seen.seen, c.seen.written = nil, ""
}

func (c *Client) observe(h http.Header) { c.Observe(h.Get("Consistency-Token")) }

// add takes in a token, "ORDERS:17.STOCK:4". Answers to requests that were under
// way at the same time each speak for their own, so the later of each stream
// counts, not the last to come.
func (s *consistency) add(token string) (grew bool) {
	if token == s.written {
		return false
	}
	for part := range strings.SplitSeq(token, ".") {
		stream, number, _ := strings.Cut(part, ":")
		n, err := strconv.ParseUint(number, 10, 64)
		if err != nil || stream == "" || n <= s.seen[stream] {
			continue
		}
		if s.seen == nil {
			s.seen = map[string]uint64{}
		}
		s.seen[stream], grew = n, true
	}
	return grew
}

func (s *consistency) write() {
	var b strings.Builder
	for _, stream := range slices.Sorted(maps.Keys(s.seen)) {
		if b.Len() > 0 {
			b.WriteByte('.')
		}
		b.WriteString(stream + ":" + strconv.FormatUint(s.seen[stream], 10))
	}
	s.written = b.String()
}
