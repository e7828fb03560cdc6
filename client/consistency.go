package client

import (
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
)

// consistency is the latest sequence of each of the shop's streams that a client has read.
type consistency struct {
	mu      sync.Mutex
	seen    map[string]uint64
	encoded string // seen as a token
}

// Consistency returns a token of the state that this client has read, "" for none. Passed to
// [Client.Observe] or [WithConsistency], for example after a storefront has stored it with a
// customer's session, it makes other clients read at least that state. The token is opaque.
func (c *Client) Consistency() string {
	if c.seen == nil {
		return ""
	}
	c.seen.mu.Lock()
	defer c.seen.mu.Unlock()
	return c.seen.encoded
}

// Observe makes the client read at least the state of a consistency token from now on, and
// what it has read itself. A malformed token is ignored.
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

// ResetConsistency forgets what the client has read. Use it after the shop was restored to
// an earlier state: the shop answers 400 with the field Consistency-Token to a client that
// has read later events than it has.
func (c *Client) ResetConsistency() {
	if c.seen == nil {
		return
	}
	c.seen.mu.Lock()
	defer c.seen.mu.Unlock()
	c.seen.seen, c.seen.encoded = nil, ""
}

func (c *Client) observe(h http.Header) { c.Observe(h.Get("Consistency-Token")) }

// add merges a token such as "ORDERS:17.STOCK:4", and reports whether anything changed.
// Responses to concurrent requests arrive in any order, so the highest sequence of each
// stream counts, not the last one to arrive.
func (s *consistency) add(token string) (grew bool) {
	if token == s.encoded {
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
	s.encoded = b.String()
}
