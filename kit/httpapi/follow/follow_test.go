package follow_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/prometheus/client_golang/prometheus"

	"lonja/kit/errs"
	"lonja/kit/eventlog"
	"lonja/kit/httpapi"
	"lonja/kit/httpapi/apitest"
	"lonja/kit/httpapi/follow"
	"lonja/kit/revocation"
)

// open serves an API with one route to follow a counter and one that waits for it. An
// addition of 99 is the last event. Limit bounds followers and waiting requests.
func open(t *testing.T, limit int) *apitest.API {
	t.Helper()
	f := apitest.Open(t)
	registry := prometheus.NewRegistry()
	changes, err := follow.New(follow.Config{Client: f.Client, Service: "counters", Stream: "COUNTERS", Events: events,
		MaxFollowers: limit, MaxWaiting: limit, Following: "following counters", Waiting: "waiting for counters", Namespace: apitest.Name, Registry: registry})
	if err != nil {
		t.Fatal(err)
	}
	c := f.Config()
	c.Registry = registry
	f.Serve(c,
		httpapi.Page("GET /api/counters/{id}/stream", "Follow a counter", func(c *httpapi.Call) error {
			id := strings.Clone(c.Request.PathValue("id"))
			return changes.Follow(c, id, func(after uint64) httpapi.Query { return apitest.Additions{Counter: id, After: after} })
		}, httpapi.SignedIn, httpapi.OrTicket("id"), follow.Streams("The counter is finished")),
		httpapi.JSON("POST /api/counters/{id}/additions", "Add to a counter and wait", func(c *httpapi.Call, in *struct {
			ID string `path:"id"`
		}) (*httpapi.Response, error) {
			return addAndWait(changes, c, in.ID, func(answer []byte) bool { return string(answer) == "3" })
		}, httpapi.SignedIn, follow.Waits("wait=N answers when it is 3"), httpapi.Returns[int](200)),
		httpapi.JSON("POST /api/counters/{id}/pairs", "Add twice and wait", func(c *httpapi.Call, in *struct {
			ID string `path:"id"`
		}) (*httpapi.Response, error) {
			var second error
			resp, err := addAndWait(changes, c, in.ID, func(answer []byte) bool {
				if string(answer) == "1" {
					_, second = c.Send(apitest.Add{Counter: in.ID, By: 1}, eventlog.NewID())
				}
				return second != nil || string(answer) == "2"
			})
			return resp, errors.Join(err, second)
		}, httpapi.SignedIn, httpapi.Idempotent, follow.Waits("wait=N answers when it is 2"), httpapi.Returns[int](200)),
		httpapi.Metrics("GET /metrics", "Read the metrics"),
	)
	return f
}

// addAndWait adds one to a counter, and waits until its total is as done says.
func addAndWait(changes *follow.Changes, c *httpapi.Call, counter string, done func(total []byte) bool) (*httpapi.Response, error) {
	wait, err := changes.Wait(c)
	if err != nil {
		return nil, err
	}
	defer wait.Release()
	reply, err := c.Send(apitest.Add{Counter: counter, By: 1}, c.CommandID)
	if err != nil {
		return nil, err
	}
	resp := c.ResponseTo(reply)
	wait.Await(counter, apitest.Total{Counter: counter}, done, resp)
	return resp, nil
}

func events(answer json.RawMessage) ([]follow.Event, error) {
	var all []apitest.Addition
	err := json.Unmarshal(answer, &all)
	out := make([]follow.Event, len(all))
	for i, a := range all {
		out[i] = follow.Event{ID: a.Sequence, Name: "added", Data: map[string]int{"by": a.By}, Last: a.By == 99}
	}
	return out, err
}

func runCounters(f *apitest.API) {
	f.T.Helper()
	if _, err := f.RunCounters(); err != nil {
		f.T.Fatal(err)
	}
}

func add(f *apitest.API, by int) uint64 {
	f.T.Helper()
	reply, err := f.Client.Send(f.T.Context(), apitest.Add{Counter: "a", By: by}, eventlog.Envelope{})
	if err != nil {
		f.T.Fatal(err)
	}
	_, seq, _ := strings.Cut(reply.Position, ":")
	n, err := strconv.ParseUint(seq, 10, 64)
	if err != nil {
		f.T.Fatal(err)
	}
	return n
}

// stream opens a stream and reads it line by line.
func stream(f *apitest.API, last string) (*http.Response, *bufio.Scanner) {
	f.T.Helper()
	ctx, cancel := context.WithTimeout(f.T.Context(), 60*time.Second)
	f.T.Cleanup(cancel)
	req, err := http.NewRequestWithContext(ctx, "GET", f.URL+"/api/counters/a/stream", nil)
	if err != nil {
		f.T.Fatal(err)
	}
	req.Header.Set("Authorization", f.Authorization("ana"))
	if last != "" {
		req.Header.Set("Last-Event-ID", last)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		f.T.Fatal(err)
	}
	f.T.Cleanup(func() { resp.Body.Close() })
	return resp, bufio.NewScanner(resp.Body)
}

// next returns the next event of a stream as "id name data", "" at its end.
func next(t *testing.T, lines *bufio.Scanner) string {
	t.Helper()
	var event []string
	for lines.Scan() {
		line := lines.Text()
		if line == "" && len(event) > 0 {
			return strings.Join(event, " ")
		}
		if _, value, ok := strings.Cut(line, ": "); ok && !strings.HasPrefix(line, ":") {
			event = append(event, value)
		}
	}
	if err := lines.Err(); err != nil {
		t.Fatal(err)
	}
	return ""
}

// A client that reconnects continues after its Last-Event-ID; after the last event it
// gets 204.
func TestFollow_SendsEveryEventOnceInOrder(t *testing.T) {
	f := open(t, 0)
	runCounters(f)
	first := add(f, 1)
	resp, lines := stream(f, "")
	if resp.StatusCode != 200 || resp.Header.Get("Content-Type") != "text/event-stream" {
		t.Fatalf("%d %v", resp.StatusCode, resp.Header)
	}
	want := []string{fmt.Sprintf(`%d added {"by":1}`, first)}
	for by := 2; by < 30; by++ {
		want = append(want, fmt.Sprintf(`%d added {"by":%d}`, add(f, by), by))
	}
	last := add(f, 99)
	want = append(want, fmt.Sprintf(`%d added {"by":99}`, last), "")
	for _, w := range want {
		if got := next(t, lines); got != w {
			t.Fatalf("got %q, want %q", got, w)
		}
	}
	_, rest := stream(f, fmt.Sprint(last-1))
	if got := next(t, rest); got != want[len(want)-2] {
		t.Errorf("after the last but one: %q", got)
	}
	if resp, _ := stream(f, fmt.Sprint(last)); resp.StatusCode != http.StatusNoContent {
		t.Errorf("after the end: %d", resp.StatusCode)
	}
}

// A follower survives an outage of the service, and queries even without an announcement.
func TestFollow_SurvivesOutageAndLostAnnouncements(t *testing.T) {
	f := open(t, 0)
	all := []apitest.Addition{{Sequence: 1, By: 1}}
	f.Fake("queries.counters.additions", func(*nats.Msg) any { return all })
	_, lines := stream(f, "")
	if got := next(t, lines); got != `1 added {"by":1}` {
		t.Fatal(got)
	}
	f.StopFake("queries.counters.additions")
	if err := f.Conn.Publish("changes.counters.a", []byte(eventlog.Position("COUNTERS", 2))); err != nil {
		t.Fatal(err)
	}
	for lines.Scan() && lines.Text() != ": waiting" {
	}
	f.Fake("queries.counters.additions", func(*nats.Msg) any {
		return append(all, apitest.Addition{Sequence: 2, By: 2}, apitest.Addition{Sequence: 5, By: 99})
	})
	for _, want := range []string{`2 added {"by":2}`, `5 added {"by":99}`, ""} {
		if got := next(t, lines); got != want {
			t.Fatalf("got %q, want %q", got, want)
		}
	}
}

func TestFollow_EndsWhenTheAccessTokenIsRevoked(t *testing.T) {
	f := open(t, 0)
	runCounters(f)
	add(f, 1)
	_, lines := stream(f, "")
	next(t, lines)
	if err := revocation.Revoke(t.Context(), f.JS, "ana", 8); err != nil {
		t.Fatal(err)
	}
	if got := next(t, lines); got != "" {
		t.Errorf("the stream goes on: %q", got)
	}
}

// A follower beyond the bound is rejected at once.
func TestLimit_RejectsWhatIsBeyond(t *testing.T) {
	f := open(t, 1)
	runCounters(f)
	add(f, 1)
	stream(f, "")
	resp, _ := stream(f, "")
	if resp.StatusCode != 503 || resp.Header.Get("Retry-After") == "" {
		t.Errorf("a second follower: %d %v", resp.StatusCode, resp.Header)
	}
	metrics := f.Do("GET", "/metrics", "").Text
	for _, want := range []string{"\ncounters_followers 1\n", "\ncounters_followers_refused_total 1\n", "\ncounters_waiting 0\n", "\ncounters_waiting_refused_total 0\n"} {
		if !strings.Contains(metrics, want) {
			t.Errorf("metrics lack %q", want)
		}
	}
	if _, err := follow.New(follow.Config{Client: f.Client, MaxWaiting: -1, Registry: prometheus.NewRegistry()}); err == nil {
		t.Error("a negative bound is accepted")
	}
}

// A waiting request queries again when the entity changes. It returns the answer that it
// waited for, or the latest one when the time is over.
func TestWait_ReturnsWhenDone(t *testing.T) {
	f := open(t, 0)
	runCounters(f)
	const path = "/api/counters/a/additions"
	f.Do("POST", path, "", "Authorization", f.Authorization("ana")).Expect(200, "1")
	answered := make(chan *apitest.Response, 1)
	go func() {
		answered <- f.Do("POST", path, "", "Authorization", f.Authorization("ana"), "Prefer", "respond-async, Wait=30")
	}()
	for n := 0; n != 2; { // until the request's command took effect
		body, err := f.Client.Query(t.Context(), apitest.Total{Counter: "a"}, eventlog.Envelope{})
		if err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(body, &n); err != nil {
			t.Fatal(err)
		}
	}
	started := time.Now()
	add(f, 1)
	r := (<-answered).Expect(200, "3")
	if r.Header.Get("Preference-Applied") != "wait=30" || time.Since(started) > 20*time.Second {
		t.Errorf("%v after %v", r.Header, time.Since(started))
	}
	f.Do("POST", path, "", "Authorization", f.Authorization("ana"), "Prefer", "wait=1").Expect(200, "4")
	for prefer, want := range map[string]string{"wait=-1": "", "wait=soon": "", "wait": "", "waiting=5": ""} {
		r := f.Do("POST", path, "", "Authorization", f.Authorization("ana"), "Prefer", prefer)
		if got := r.Header.Get("Preference-Applied"); got != want || r.StatusCode != 200 {
			t.Errorf("%s: %d %q", prefer, r.StatusCode, got)
		}
	}
	f.Do("POST", path, "").ExpectProblem(401, errs.Unauthenticated, "")
}

// What is announced is queried, also when the request's consistency token covers it already: the
// token of an answer may cover more than the answer shows.
func TestWait_QueriesWhatOnlyTheTokenCovers(t *testing.T) {
	f := open(t, 0)
	runCounters(f)
	began := time.Now()
	f.Do("POST", "/api/counters/b/pairs", "", "Authorization", f.Authorization("ana"), "Prefer", "wait=30").Expect(200, "2")
	if took := time.Since(began); took > 4*time.Second {
		t.Errorf("it took %v: the announcement was ignored", took)
	}
}

// A command that comes again was followed by what it leads to, which is not announced again.
func TestWait_ARepeatedCommandIsAnsweredAtOnce(t *testing.T) {
	f := open(t, 0)
	runCounters(f)
	post := func() *apitest.Response {
		return f.Do("POST", "/api/counters/b/pairs", "", "Authorization", f.Authorization("ana"), "Prefer", "wait=30", "Idempotency-Key", "twice")
	}
	post().Expect(200, "2")
	began := time.Now()
	if r := post().Expect(200, "2"); r.Header.Get("Idempotent-Replayed") != "true" || time.Since(began) > 4*time.Second {
		t.Errorf("%v after %v", r.Header, time.Since(began))
	}
}
