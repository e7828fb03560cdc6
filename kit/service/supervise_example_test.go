package service_test

import (
	"context"
	"fmt"
	"log/slog"

	"lonja/kit/service"
)

func ExampleSupervise() {
	// A program's own starts make a service and Run it; see examples/tickets.
	serve := func(ctx context.Context, ready func()) error {
		ready()
		<-ctx.Done()
		return nil
	}
	ready, stop := service.Supervise(slog.Default(), map[string]service.Start{"orders": serve, "payments": serve})
	defer stop() // after the HTTP server that needs them
	<-ready
	fmt.Println("both serve")
	// Output: both serve
}
