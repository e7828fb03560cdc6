package httpapi_test

import (
	"context"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"strings"

	"lonja/kit/httpapi"
	"lonja/kit/httpapi/apitest"
)

// addition is the input of a route: parameters of the path, and the body.
type addition struct {
	Counter string `path:"counter"`
	httpapi.Payload[struct {
		By int `json:"by" minimum:"1"`
	}]
}

// A route sends one command to a service and responds with the service's reply. The same
// request with the same Idempotency-Key changes nothing more. The response's
// Consistency-Token makes the next request read the change.
func Example() {
	fixture, err := apitest.Start(context.Background()) // a NATS server
	if err != nil {
		log.Fatal(err)
	}
	defer fixture.Close()
	if _, err := fixture.RunCounters(); err != nil { // a service that counts
		log.Fatal(err)
	}

	api, err := httpapi.New(httpapi.Config{Client: fixture.Client, Name: "example", Title: "Counters", Version: "1.0.0", PublicURL: "http://localhost"})
	if err != nil {
		log.Fatal(err)
	}
	add := func(c *httpapi.Call, in *addition) (*httpapi.Response, error) {
		body, err := in.Body(c)
		if err != nil {
			return nil, err
		}
		return c.SendAndRespond(apitest.Add{Counter: in.Counter, By: body.By})
	}
	read := func(c *httpapi.Call, in *struct {
		Counter string `path:"counter"`
	}) (*httpapi.Response, error) {
		return c.QueryAndRespond(apitest.Total{Counter: in.Counter})
	}
	api.Add("counters",
		httpapi.JSON("POST /api/counters/{counter}/additions", "Add to a counter", add, httpapi.Idempotent, httpapi.Returns[int](200)),
		httpapi.JSON("GET /api/counters/{counter}", "Read a counter", read, httpapi.Returns[int](200)),
	)
	handler, err := api.Handler()
	if err != nil {
		log.Fatal(err)
	}
	server := httptest.NewServer(handler) // a program calls httpapi.Serve
	defer server.Close()

	first := send(server.URL, "POST", "/api/counters/visits/additions", `{"by":3}`, "Idempotency-Key", "k1")
	fmt.Println("first: ", first.Status, "replayed:", first.Header.Get("Idempotent-Replayed") == "true")
	again := send(server.URL, "POST", "/api/counters/visits/additions", `{"by":3}`, "Idempotency-Key", "k1")
	fmt.Println("again: ", again.Status, "replayed:", again.Header.Get("Idempotent-Replayed") == "true")
	total := send(server.URL, "GET", "/api/counters/visits", "", "Consistency-Token", first.Header.Get("Consistency-Token"))
	body, _ := io.ReadAll(total.Body)
	fmt.Println("total: ", total.Status, string(body))
	wrong := send(server.URL, "POST", "/api/counters/visits/additions", `{"by":0}`)
	body, _ = io.ReadAll(wrong.Body)
	fmt.Println("wrong: ", wrong.Status, string(body))
	// Output:
	// first:  200 OK replayed: false
	// again:  200 OK replayed: true
	// total:  200 OK 3
	// wrong:  422 Unprocessable Entity {"type":"urn:example:problem:invalid","title":"Unprocessable Entity","status":422,"detail":"by must be at least 1","code":"invalid","field":"by"}
}

func send(url, method, path, body string, header ...string) *http.Response {
	req, err := http.NewRequest(method, url+path, strings.NewReader(body))
	if err != nil {
		log.Fatal(err)
	}
	if len(header) == 2 {
		req.Header.Set(header[0], header[1])
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		log.Fatal(err)
	}
	return resp
}
