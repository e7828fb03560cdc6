package story

import (
	"bufio"
	"fmt"
	"net"
	"strconv"
	"strings"
	"testing"

	"lonja/events/query"
	"lonja/test/harness"
)

// Clients that follow their orders cost little and do not block other readers.
func TestFollowers_ManyAtLittleCost(t *testing.T) {
	const followers = 1_000
	p, s := harness.Up(t, "--data", t.TempDir(), "--max-followers", strconv.Itoa(followers))
	s.Boss().Sells("71053", 339, 10)
	ana := s.As("ana")
	o := ana.Places(harness.Pieces("71053", 1))
	open := func() *bufio.Reader {
		t.Helper()
		conn, err := net.Dial("tcp", strings.TrimPrefix(s.URL, "http://"))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { conn.Close() })
		fmt.Fprintf(conn, "GET /api/orders/%s/stream HTTP/1.1\r\nHost: shop\r\nAuthorization: Bearer %s\r\n\r\n", o.ID, ana.Token)
		return bufio.NewReaderSize(conn, 512)
	}
	reads := func(r *bufio.Reader, what string) {
		t.Helper()
		for {
			line, err := r.ReadString('\n')
			if err != nil {
				t.Fatalf("before %q: %v", what, err)
			}
			if strings.Contains(line, what) {
				return
			}
		}
	}
	const routines, stacks = "go_goroutines", "go_memstats_stack_inuse_bytes"
	had, held, streams := s.Metric(routines), s.Metric(stacks), make([]*bufio.Reader, followers)
	for i := range streams {
		streams[i] = open()
		reads(streams[i], query.AwaitingPayment)
	}
	// Heap memory includes garbage, so only stacks are measured.
	each, stack := (s.Metric(routines)-had)/followers, (s.Metric(stacks)-held)/followers
	if t.Logf("%.1f goroutines, %.0f bytes of stack for each follower", each, stack); each > 2.5 || stack > 12<<10 {
		t.Errorf("each follower takes %.1f goroutines with stacks of %.0f bytes", each, stack)
	}
	reads(open(), "503 ")
	ana.Wants(200, "PATCH", "/api/orders/"+string(o.ID), map[string]string{"status": query.Cancelled}, nil)
	for _, r := range streams {
		reads(r, query.Cancelled)
	}
	p.Stop()
}
