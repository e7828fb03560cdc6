package httpserve_test

import (
	"context"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"time"

	"lonja/kit/httpapi/httpserve"
)

// A server that is stopping still answers while it drains, and its handlers can see that
// it is stopping.
func ExampleServe() {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprint(w, "stopping: ", httpserve.Stopping(r.Context()).Err() != nil)
	})
	ctx, stop := context.WithCancel(context.Background())
	served := make(chan error)
	go func() { served <- httpserve.Serve(ctx, listener, handler, time.Second, time.Minute) }()

	get(listener.Addr())
	stop()
	get(listener.Addr())
	fmt.Println("served:", <-served)
	// Output:
	// stopping: false
	// stopping: true
	// served: <nil>
}

func get(addr net.Addr) {
	resp, err := http.Get("http://" + addr.String())
	if err != nil {
		log.Fatal(err)
	}
	defer resp.Body.Close()
	body, _ := io.ReadAll(resp.Body)
	fmt.Println(string(body))
}
