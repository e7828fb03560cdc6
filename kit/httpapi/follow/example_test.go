package follow_test

import (
	"bufio"
	"context"
	"fmt"
	"log"
	"net/http"
	"net/http/httptest"
	"strings"

	"github.com/prometheus/client_golang/prometheus"

	"lonja/kit/eventlog"
	"lonja/kit/httpapi"
	"lonja/kit/httpapi/apitest"
	"lonja/kit/httpapi/follow"
)

// A client follows a counter: it gets the additions so far and then each new one, up to
// the last event.
func ExampleChanges_Follow() {
	ctx := context.Background()
	fixture, err := apitest.Start(ctx) // a NATS server
	if err != nil {
		log.Fatal(err)
	}
	defer fixture.Close()
	if _, err := fixture.RunCounters(); err != nil { // a service that announces which counters have changed
		log.Fatal(err)
	}
	registry := prometheus.NewRegistry()
	changes, err := follow.New(follow.Config{Client: fixture.Client, Service: "counters", Stream: "COUNTERS", Events: events,
		Following: "following counters", Waiting: "waiting for counters", Namespace: "example", Registry: registry})
	if err != nil {
		log.Fatal(err)
	}
	api, err := httpapi.New(httpapi.Config{Client: fixture.Client, Name: "example", Title: "Counters", Version: "1.0.0", PublicURL: "http://localhost", Registry: registry})
	if err != nil {
		log.Fatal(err)
	}
	api.Add("counters", httpapi.Page("GET /api/counters/{counter}/stream", "Follow a counter", func(c *httpapi.Call) error {
		counter := strings.Clone(c.Request.PathValue("counter")) // keeps the request out of memory
		return changes.Follow(c, counter, func(after uint64) httpapi.Query { return apitest.Additions{Counter: counter, After: after} })
	}, follow.Streams("Nothing is left to follow")))
	handler, err := api.Handler()
	if err != nil {
		log.Fatal(err)
	}
	server := httptest.NewServer(handler)
	defer server.Close()

	resp, err := http.Get(server.URL + "/api/counters/visits/stream")
	if err != nil {
		log.Fatal(err)
	}
	defer resp.Body.Close()
	for _, by := range []int{3, 99} { // 99 is the last event, as the function events decides
		if _, err := fixture.Client.Send(ctx, apitest.Add{Counter: "visits", By: by}, eventlog.Envelope{}); err != nil {
			log.Fatal(err)
		}
	}
	for lines := bufio.NewScanner(resp.Body); lines.Scan(); {
		if line := lines.Text(); line != "" && line != ": waiting" {
			fmt.Println(line)
		}
	}
	// Output:
	// id: 1
	// event: added
	// data: {"by":3}
	// id: 2
	// event: added
	// data: {"by":99}
}
