package gateway

import (
	"context"
	"net"
	"net/http"
	"time"
)

const (
	finish = 4 * time.Second        // what is under way when the gateway stops listening gets this long
	hurry  = 500 * time.Millisecond // before that is over, it is told to come to an end
	linger = 2 * time.Minute        // an idle connection is kept
)

type stoppingKey struct{}

// Serve serves until ctx ends. Then, for as long as drain says, it still
// answers whatever comes, but each answer ends its connection, and
// GET /readyz/gateway says 503: so those who ask, or the balancer before them,
// turn elsewhere. Without that, a request that is sent on an idle connection just
// when the server closes it is lost, and nobody may send it again unasked unless
// it carries a key. Streams and long waits end at once.
//
// After the drain the gateway stops listening and finishes what is under way,
// within four seconds. Serve then returns nil.
func Serve(ctx context.Context, l net.Listener, h http.Handler, drain time.Duration) error {
	base, stop := context.WithCancel(context.WithValue(context.Background(), stoppingKey{}, ctx))
	defer stop()
	server := &http.Server{
		Handler:           h,
		BaseContext:       func(net.Listener) context.Context { return base },
		ConnContext:       withFraming,
		ReadHeaderTimeout: 5 * time.Second,
		WriteTimeout:      longestWait + 2*patience + largePatience + readTimeout,
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

// stopping ends once the gateway that serves a request begins to stop.
func stopping(ctx context.Context) context.Context {
	if serving, ok := ctx.Value(stoppingKey{}).(context.Context); ok {
		return serving
	}
	return context.Background()
}

func isStopping(ctx context.Context) bool { return stopping(ctx).Err() != nil }

// untilStopping is the request's context, which also ends when the gateway
// stops: for waiting that nobody would miss.
func (c *call) untilStopping() (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(c.r.Context())
	stop := context.AfterFunc(stopping(ctx), cancel)
	return ctx, func() { stop(); cancel() }
}
