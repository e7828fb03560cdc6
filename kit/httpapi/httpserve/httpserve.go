// Package httpserve runs an HTTP server that loses no request when it stops, and
// that knows how each request says where its body ends.
//
// A server that stops still answers whatever comes until it has drained. Handlers
// learn from Stopping that it does, and can end long waits; from BodyEnd they learn
// that a request is ambiguous, which net/http hides.
package httpserve

import (
	"context"
	"net"
	"net/http"
	"time"
)

const (
	finish = 4 * time.Second        // what is under way when the server stops listening gets this long
	hurry  = 500 * time.Millisecond // before that is over, it is told to come to an end
	linger = 2 * time.Minute        // an idle connection is kept
)

type stoppingKey struct{}

// Serve serves until ctx ends. Then, for as long as drain says, it still
// answers whatever comes, and Stopping has ended: a handler should end each
// connection with its answer and tell a balancer's probe to turn elsewhere. Without
// that, a request that is sent on an idle connection just when the server closes it
// is lost, and nobody may send it again unasked unless it can be repeated safely.
//
// After the drain the server stops listening and finishes what is under way,
// within four seconds. Serve then returns nil. No answer may take longer than
// longest, from the request's last header to the answer's last byte.
func Serve(ctx context.Context, l net.Listener, h http.Handler, drain, longest time.Duration) error {
	base, stop := context.WithCancel(context.WithValue(context.Background(), stoppingKey{}, ctx))
	defer stop()
	server := &http.Server{
		Handler:           h,
		BaseContext:       func(net.Listener) context.Context { return base },
		ConnContext:       withFraming,
		ReadHeaderTimeout: 5 * time.Second,
		WriteTimeout:      longest,
		IdleTimeout:       linger,
		MaxHeaderBytes:    32 << 10,
	}
	served := make(chan error, 1)
	go func() { served <- server.Serve(watching{l}) }()
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
	late := time.AfterFunc(finish-hurry, stop)
	defer late.Stop()
	finishing, cancel := context.WithTimeout(context.Background(), finish)
	defer cancel()
	if server.Shutdown(finishing) != nil {
		_ = server.Close()
	}
	<-served
	return nil
}

// Stopping is a context that ends once the server of a request begins to stop,
// given the request's context. It never ends when the server is not Serve's.
func Stopping(ctx context.Context) context.Context {
	if serving, ok := ctx.Value(stoppingKey{}).(context.Context); ok {
		return serving
	}
	return context.Background()
}
