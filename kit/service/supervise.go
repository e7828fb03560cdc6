package service

import (
	"context"
	"log/slog"
	"sync"
	"time"
)

// Start runs one service until ctx ends and calls ready once it serves. It returns an
// error when the service cannot start or has failed. It is called again after that, so it
// makes a Service of its own each time: a decider stays with the log that it was bound to.
type Start func(ctx context.Context, ready func()) error

// Supervise runs the services of one process in the background, each on its own. A
// service that fails is started again after one second, and later each time up to half a
// minute; the others do not notice. Logger is told of each failure.
//
// Ready is closed when all services have been ready. Stop stops them and returns when they
// have stopped. Call it after what needs the services has ended, such as an HTTP server,
// and before what they need.
func Supervise(logger *slog.Logger, services map[string]Start) (ready <-chan struct{}, stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	var running, starting sync.WaitGroup
	starting.Add(len(services))
	for name, start := range services {
		running.Go(func() { supervise(ctx, logger.With("service", name), start, sync.OnceFunc(starting.Done)) })
	}
	all := make(chan struct{})
	running.Go(func() {
		if starting.Wait(); ctx.Err() == nil {
			close(all)
		}
	})
	return all, func() { cancel(); running.Wait() }
}

func supervise(ctx context.Context, logger *slog.Logger, start Start, ready func()) {
	defer ready() // so that nothing waits for it any more
	for wait := time.Second; ctx.Err() == nil; wait = min(2*wait, 30*time.Second) {
		err := start(ctx, ready)
		if err == nil || ctx.Err() != nil {
			return
		}
		logger.Error("a service has stopped and will be started again", "in", wait, "error", err)
		select {
		case <-ctx.Done():
		case <-time.After(wait):
		}
	}
}
