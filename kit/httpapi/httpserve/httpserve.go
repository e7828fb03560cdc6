// Package httpserve runs an HTTP server that stops without losing requests, and that
// detects requests with an ambiguous length.
//
// When its context ends, [Serve] keeps serving until it has drained. Handlers use [Stopping]
// to close connections, to fail a load balancer's probe and to cut long waits short.
//
// A request with both Content-Length and Transfer-Encoding can be used to smuggle another
// one past a proxy. net/http hides that; [FramingOf] reports it, so that a handler can
// reject the request.
package httpserve

import (
	"context"
	"net"
	"net/http"
	"time"
)

const (
	shutdownTimeout = 4 * time.Second        // for requests in progress, once the server stops listening
	cancelBefore    = 500 * time.Millisecond // so long before the timeout, their contexts are cancelled
	idleTimeout     = 2 * time.Minute        // of a connection without a request
)

type stoppingKey struct{}

// Serve serves until ctx ends, and then drains: for the given time it still serves requests,
// while the context of Stopping has ended. Meanwhile handlers should close each connection
// with its response, and fail a load balancer's probe. Otherwise a request that arrives on
// an idle connection just when the server closes it is lost, and its client cannot repeat
// it unless it is idempotent.
//
// After the drain the server stops listening and gives requests in progress four seconds.
// Serve then returns nil. Before that it returns an error only if l fails.
//
// WriteTimeout bounds a response, from the end of the request's headers to the last byte of
// the response.
func Serve(ctx context.Context, l net.Listener, h http.Handler, drain, writeTimeout time.Duration) error {
	base, stop := context.WithCancel(context.WithValue(context.Background(), stoppingKey{}, ctx))
	defer stop()
	server := &http.Server{
		Handler:           h,
		BaseContext:       func(net.Listener) context.Context { return base },
		ConnContext:       withFraming,
		ReadHeaderTimeout: 5 * time.Second,
		WriteTimeout:      writeTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    32 << 10,
	}
	served := make(chan error, 1)
	go func() { served <- server.Serve(framingListener{l}) }()
	select {
	case err := <-served:
		return err
	case <-ctx.Done():
	}
	select {
	case err := <-served:
		return err
	case <-time.After(drain):
	}
	cancelling := time.AfterFunc(shutdownTimeout-cancelBefore, stop)
	defer cancelling.Stop()
	shutdown, cancel := context.WithTimeout(context.Background(), shutdownTimeout)
	defer cancel()
	if server.Shutdown(shutdown) != nil {
		_ = server.Close()
	}
	<-served
	return nil
}

// Stopping returns a context that ends when the server begins to stop, given the context of
// a request. It never ends if the server was not started by Serve.
func Stopping(ctx context.Context) context.Context {
	if server, ok := ctx.Value(stoppingKey{}).(context.Context); ok {
		return server
	}
	return context.Background()
}
