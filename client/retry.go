package client

import (
	"errors"
	"math/rand/v2"
	"net"
	"net/http"
	"time"
)

// retryPolicy says when a request is sent again.
type retryPolicy struct {
	retries        int
	first, longest time.Duration
}

// longestRetryAfter is how long a client waits at most because the shop says so.
// Whoever is told to come back later hears that at once.
const longestRetryAfter = 30 * time.Second

// pause is how long to wait after a try, counted from 0, has failed. It is false
// when there were enough.
func (p retryPolicy) pause(try int, err error) (time.Duration, bool) {
	if try >= p.retries {
		return 0, false
	}
	wait := p.backoff(try)
	var told *Problem
	if errors.As(err, &told) && told.RetryAfter > 0 {
		return told.RetryAfter + wait/2, told.RetryAfter <= longestRetryAfter
	}
	return wait, true
}

// backoff grows with each try. A random half keeps clients that failed together
// from coming back together.
func (p retryPolicy) backoff(try int) time.Duration {
	wait := p.longest
	if try < 30 {
		wait = min(p.first<<try, p.longest)
	}
	return wait/2 + rand.N(wait/2+1)
}

// again reports whether a request that failed may succeed when it is sent again,
// and does no harm if it took effect before. With 429 it was not looked at; with
// 503 it had no effect, or nobody knows.
func (r request) again(err error) bool {
	var p *Problem
	if !errors.As(err, &p) {
		return !r.probe && (!r.once || neverSent(err))
	}
	switch p.Status {
	case http.StatusTooManyRequests:
		return !r.probe
	case http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return !r.probe && !r.once
	}
	return false
}

// neverSent reports whether there was not even a connection to send on.
func neverSent(err error) bool {
	var op *net.OpError
	return errors.As(err, &op) && op.Op == "dial"
}
