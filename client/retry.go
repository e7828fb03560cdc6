package client

import (
	"errors"
	"math/rand/v2"
	"net"
	"net/http"
	"time"
)

// retryPolicy decides whether and when a request is repeated.
type retryPolicy struct {
	retries        int
	first, longest time.Duration
}

// longestRetryAfter bounds the Retry-After that a client waits for. With a longer one, the
// call returns the error at once.
const longestRetryAfter = 30 * time.Second

// pause returns how long to wait after a failed try, counted from 0. It returns false if
// there are no retries left.
func (r retryPolicy) pause(try int, err error) (time.Duration, bool) {
	if try >= r.retries {
		return 0, false
	}
	wait := r.backoff(try)
	var p *Problem
	if errors.As(err, &p) && p.RetryAfter > 0 {
		return p.RetryAfter + wait/2, p.RetryAfter <= longestRetryAfter
	}
	return wait, true
}

// backoff returns a pause that doubles with each try. Half of it is random, so that clients
// that failed together do not retry together.
func (p retryPolicy) backoff(try int) time.Duration {
	wait := p.longest
	if try < 30 {
		wait = min(p.first<<try, p.longest)
	}
	return wait/2 + rand.N(wait/2+1)
}

// again reports whether a failed request may succeed if it is repeated, and does no harm if
// the first one took effect. With 429 it had no effect; with 503 it had none, or that is
// unknown.
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

// neverSent reports whether no connection could be made, so nothing was sent.
func neverSent(err error) bool {
	var op *net.OpError
	return errors.As(err, &op) && op.Op == "dial"
}
