package gateway_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/nats-io/nats.go"

	"lonja/events/query"
	"lonja/kit/errs"
	"lonja/kit/eventlog"
)

// changes are played statuses of one order, by sequence.
var changes = []query.StatusChange{
	{Sequence: 3, Status: query.Placed}, {Sequence: 5, Status: query.AwaitingPayment},
	{Sequence: 9, Status: query.Paid}, {Sequence: 12, Status: query.Cancelled},
}

// playsStatuses answers as orders does: what comes after a sequence, no more
// than the first few at once. The next of them then happens, and is told.
func (f *testShop) playsStatuses(atOnce int) {
	f.fake("queries.orders.statuses", func(m *nats.Msg) any {
		var q query.OrderStatuses
		if json.Unmarshal(m.Data, &q) != nil || q.OrderID != "ord_1" {
			return errs.New(errs.NotFound, "there is no such order")
		}
		after := []query.StatusChange{}
		for _, c := range changes {
			if c.Sequence > q.After && len(after) < atOnce {
				after = append(after, c)
			}
		}
		if n := len(after); n == atOnce && after[n-1] != changes[len(changes)-1] {
			f.tells(after[n-1].Sequence + 1)
		}
		return after
	})
}

// tells tells that something happened to an order, as orders does.
func (f *testShop) tells(sequence uint64) {
	f.t.Helper()
	if err := f.Conn.Publish("changes.orders.ord_1", []byte(eventlog.Position("ORDERS", sequence))); err != nil {
		f.t.Error(err)
	}
}

func TestStream_FollowsToTheLastStatus(t *testing.T) {
	shop := open(t)
	shop.playsStatuses(1)
	r := shop.do("GET", "/api/orders/ord_1/stream", nil, "Authorization", shop.ana()).expect(200, nil)
	if ct := r.Header.Get("Content-Type"); ct != "text/event-stream" {
		t.Errorf("Content-Type %q", ct)
	}
	if got := strings.Join(statusesOf(string(r.body)), " "); got != "placed awaiting_payment paid cancelled" {
		t.Errorf("followed %s", got)
	}
	if !strings.Contains(string(r.body), "id: 5\nevent: status\ndata: {\"status\":\"awaiting_payment\",\"time\":\"") {
		t.Errorf("an event looks otherwise: %s", r.body)
	}
	shop.stopFake("queries.orders.statuses")
	shop.playsStatuses(10)
	for last, want := range map[string]string{"5": "paid cancelled", "9": "cancelled", "4": "awaiting_payment paid cancelled",
		"nonsense": "placed awaiting_payment paid cancelled", "-1": "placed awaiting_payment paid cancelled"} {
		r := shop.do("GET", "/api/orders/ord_1/stream", nil, "Authorization", shop.ana(), "Last-Event-ID", last).expect(200, nil)
		if got := strings.Join(statusesOf(string(r.body)), " "); got != want {
			t.Errorf("after %s: %s", last, got)
		}
	}
	shop.do("GET", "/api/orders/ord_2/stream", nil, "Authorization", shop.ana()).expectProblem(404, errs.NotFound, "")
	shop.do("GET", "/api/orders/ord_1/stream", nil).expectProblem(401, errs.Unauthenticated, "")
}

// A HEAD has no body, of a stream neither: what followed would be taken for the
// answer to the connection's next request.
func TestStream_HeadHasNoBody(t *testing.T) {
	shop := open(t)
	shop.playsStatuses(1)
	conn, err := net.Dial("tcp", strings.TrimPrefix(shop.server.URL, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	fmt.Fprintf(conn, "HEAD /api/orders/ord_1/stream HTTP/1.1\r\nHost: shop\r\nAuthorization: %s\r\n\r\nGET /healthz HTTP/1.1\r\nHost: shop\r\n\r\n", shop.ana())
	answers := bufio.NewReader(conn)
	for _, method := range []string{"HEAD", "GET"} {
		resp, err := http.ReadResponse(answers, &http.Request{Method: method})
		if err != nil {
			t.Fatalf("%s: %v", method, err)
		}
		body, _ := io.ReadAll(resp.Body)
		if stream := resp.Header.Get("Content-Type") == "text/event-stream"; resp.StatusCode != 200 || stream != (method == "HEAD") {
			t.Errorf("%s: %d %v %s", method, resp.StatusCode, resp.Header, body)
		}
	}
}

// follow reads an event stream line by line.
func follow(ctx context.Context, t *testing.T, url, authorization string) *bufio.Scanner {
	t.Helper()
	req, err := http.NewRequestWithContext(ctx, "GET", url, nil)
	if err != nil {
		t.Fatal(err)
	}
	if authorization != "" {
		req.Header.Set("Authorization", authorization)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { resp.Body.Close() })
	if resp.StatusCode != 200 {
		t.Fatalf("status %d", resp.StatusCode)
	}
	return bufio.NewScanner(resp.Body)
}

func until(t *testing.T, lines *bufio.Scanner, want string) {
	t.Helper()
	for lines.Scan() {
		if strings.Contains(lines.Text(), want) {
			return
		}
	}
	t.Fatalf("the stream ended before %q: %v", want, lines.Err())
}

func TestStream_OutlivesItsService(t *testing.T) {
	shop := open(t)
	shop.fake("queries.orders.statuses", func(*nats.Msg) any { return changes[:1] })
	lines := follow(t.Context(), t, shop.server.URL+"/api/orders/ord_1/stream", shop.ana())
	until(t, lines, `"placed"`)
	shop.stopFake("queries.orders.statuses")
	shop.tells(5)
	until(t, lines, ": waiting")
	until(t, lines, ": waiting")
	shop.playsStatuses(10)
	until(t, lines, `"awaiting_payment"`)
	until(t, lines, `"cancelled"`)
}

// silent plays a service that hears and does not answer.
func (f *testShop) silent(subject string, heard func()) {
	sub, err := f.Conn.Subscribe(subject, func(*nats.Msg) { heard() })
	if err != nil {
		f.t.Fatal(err)
	}
	f.fakes[subject] = sub
	f.flush()
}

// statusesOf are the statuses of an event stream, in order.
func statusesOf(body string) (statuses []string) {
	for line := range strings.Lines(body) {
		if data, ok := strings.CutPrefix(line, "data: "); ok {
			var change query.StatusChange
			if json.Unmarshal([]byte(data), &change) == nil {
				statuses = append(statuses, change.Status)
			}
		}
	}
	return statuses
}
