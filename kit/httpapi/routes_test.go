package httpapi_test

import (
	"context"
	"net"
	"net/http"
	"testing"

	"lonja/kit/httpapi"
	"lonja/kit/httpapi/apitest"
)

// testAPI is an API with a few routes for the service counters, which tests run or fake.
type testAPI struct{ *apitest.API }

type counterInput struct {
	Counter string `path:"counter"`
}

type login struct {
	Email    string `json:"email"`
	Password string `json:"password"`
}

type resetting struct {
	To int `json:"to" minimum:"1"`
}

// open serves the routes, with a configuration that change may modify.
func open(t testing.TB, change ...func(*httpapi.Config)) *testAPI {
	t.Helper()
	f := &testAPI{apitest.Open(t)}
	f.serve(change...)
	return f
}

func (f *testAPI) serve(change ...func(*httpapi.Config)) http.Handler {
	f.T.Helper()
	c := f.Config()
	for _, do := range change {
		do(&c)
	}
	add := func(c *httpapi.Call, in *addition) (*httpapi.Response, error) {
		body, err := in.Body(c)
		if err != nil {
			return nil, err
		}
		return c.SendAndRespond(apitest.Add{Counter: in.Counter, By: body.By})
	}
	read := func(c *httpapi.Call, in *counterInput) (*httpapi.Response, error) {
		return c.QueryAndRespond(apitest.Total{Counter: in.Counter})
	}
	logIn := func(c *httpapi.Call, in *struct{ httpapi.Payload[login] }) (*httpapi.Response, error) {
		login, err := in.Body(c)
		if err != nil {
			return nil, err
		}
		return c.SendAndRespond(apitest.Add{Counter: login.Email, By: 1})
	}
	reset := func(c *httpapi.Call, in *struct {
		Counter string `path:"counter"`
		httpapi.OptionalPayload[resetting]
	}) (*httpapi.Response, error) {
		body, err := in.Body(c)
		if err != nil {
			return nil, err
		}
		return c.SendAndRespond(apitest.Add{Counter: in.Counter, By: body.To})
	}
	return f.Serve(c,
		httpapi.JSON("DELETE /api/counters/{counter}", "Reset a counter", reset, httpapi.Returns[int](200)),
		httpapi.JSON("POST /api/counters/{counter}/additions", "Add to a counter", add, httpapi.SignedIn, httpapi.Idempotent, httpapi.Deferrable, httpapi.Returns[int](200)),
		httpapi.JSON("GET /api/counters/{counter}", "Read a counter", read, httpapi.Returns[int](200)),
		httpapi.JSON("GET /api/secrets/{counter}", "Read a secret", read, httpapi.SignedIn, httpapi.Returns[int](200)),
		httpapi.JSON("POST /api/login", "Log in", logIn, httpapi.RateLimited, httpapi.Returns[int](200)),
		httpapi.Outcomes("GET /api/commands/{id}", "Read an outcome", "staff"),
		httpapi.Alive("GET /healthz", "Tell whether it is alive"),
		httpapi.Serving("GET /readyz/gateway", "Tell whether it serves"),
		httpapi.Ready("GET /readyz", "Tell whether all is ready", []string{"counters"}, nil),
		httpapi.Metrics("GET /metrics", "Read the metrics"),
	)
}

// listen serves the routes with httpapi.Serve, as a program does.
func (f *testAPI) listen() {
	f.T.Helper()
	handler := f.serve()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		f.T.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- httpapi.Serve(ctx, l, handler, 0) }()
	f.T.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			f.T.Error(err)
		}
	})
	f.URL = "http://" + l.Addr().String()
}

func (f *testAPI) ana() string { return f.Authorization("ana", "member") }
