package gateway

import (
	"context"
	"net"
	"net/http"
	"time"
)

const (
	drain  = 4 * time.Second        // what is under way when the gateway stops gets this long
	hurry  = 500 * time.Millisecond // before that is over, it is told to come to an end
	linger = 2 * time.Minute        // an idle connection is kept
)

type stoppingKey struct{}

// Serve serves until ctx ends and then drains: no new connections, streams and
// long waits end at once, and what else is under way is finished. It takes four
// seconds at most and returns nil.
func Serve(ctx context.Context, l net.Listener, h http.Handler) error {
	base, stop := context.WithCancel(context.WithValue(context.Background(), stoppingKey{}, ctx.Done()))
	defer stop()
	server := &http.Server{
		Handler:           h,
		BaseContext:       func(net.Listener) context.Context { return base },
		ReadHeaderTimeout: 5 * time.Second,
		WriteTimeout:      longestWait + 2*patience + readTimeout,
		IdleTimeout:       linger,
		MaxHeaderBytes:    32 << 10,
	}
	served := make(chan error, 1)
	go func() { served <- server.Serve(l) }()
	select {
	case err := <-served:
		return err
	case <-ctx.Done():
	}
	late := time.AfterFunc(drain-hurry, stop)
	defer late.Stop()
	draining, cancel := context.WithTimeout(context.Background(), drain)
	defer cancel()
	if server.Shutdown(draining) != nil {
		_ = server.Close()
	}
	<-served
	return nil
}

// untilStopping is the request's context, which also ends when the gateway
// stops: for waiting that nobody would miss.
func (c *call) untilStopping() (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(c.r.Context())
	stopping, ok := ctx.Value(stoppingKey{}).(<-chan struct{})
	if !ok {
		return ctx, cancel
	}
	go func() {
		select {
		case <-stopping:
			cancel()
		case <-ctx.Done():
		}
	}()
	return ctx, cancel
}
