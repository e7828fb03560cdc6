package httpapi

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"golang.org/x/sync/semaphore"

	"lonja/kit/bus"
	"lonja/kit/errs"
	"lonja/kit/eventlog"
	"lonja/kit/httpapi/input"
	"lonja/kit/projection"
	"lonja/kit/service"
)

// Query is a question to a service.
type Query interface {
	// QueryName names service and query, such as "counters.total".
	QueryName() string
}

const (
	// patience is how long a service may take to answer. It is a little longer
	// than the services' own, so that their answer is the one that is given.
	patience = 6 * time.Second
	// largePatience is how long a large answer may take, waiting for others included.
	largePatience = 20 * time.Second
	// allLarge bounds the bytes of all large answers that an API holds at the same
	// time: from before they are sent to it until the client has them.
	allLarge = 2 * service.MaxAnswer
)

// shared is what all calls of an API have in common.
type shared struct {
	Config
	registry huma.Registry // of the schemas of bodies
	proxies  proxies
	measured *measures
	bodies   *input.Memory
	large    *semaphore.Weighted // bytes of the large answers that are held
	outcomes string              // where outcomes of deferred commands are read; an id follows. "" is nowhere
}

// who is on whose behalf a query is asked, and with which trace.
type who struct {
	actor eventlog.Actor
	trace string // W3C traceparent
}

func (w who) envelope(id string, seen projection.Token) eventlog.Envelope {
	return eventlog.Envelope{ID: id, Actor: w.actor, Correlation: traceID(w.trace), Trace: w.trace, After: seen.String()}
}

// room is what an answer holds of the bytes that large answers may take.
type room struct {
	of   *semaphore.Weighted
	held int
}

// giveBack gives bytes back that are not needed any more.
func (r *room) giveBack(n int) {
	if n > 0 {
		r.held -= n
		r.of.Release(int64(n))
	}
}

// query asks a query in one message, or in parts when the answer is too large for
// that. The room that it then takes is held until it is given back.
func (s *shared) query(ctx context.Context, q Query, env eventlog.Envelope, held *room) (body json.RawMessage, position string, err error) {
	soon, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	body, position, err = s.Client.QueryAt(soon, q, env)
	var large *bus.TooLargeError
	if errors.As(err, &large) {
		return s.queryInParts(ctx, q, env, large, held)
	}
	return body, position, err
}

func (s *shared) queryInParts(ctx context.Context, q Query, env eventlog.Envelope, was *bus.TooLargeError, held *room) (body json.RawMessage, position string, err error) {
	size := was.Size + was.Size/4 + 64<<10 // it may have grown
	if was.Size > service.MaxAnswer {
		return nil, "", was
	}
	ctx, cancel := context.WithTimeout(ctx, largePatience)
	defer cancel()
	size = min(size, service.MaxAnswer)
	if held.of.Acquire(ctx, int64(size)) != nil {
		return nil, "", errs.New(errs.Unavailable, "too many large answers are on their way; try again, or ask for less at once")
	}
	held.held += size
	body, position, err = s.Client.QueryInParts(ctx, q, env, size)
	held.giveBack(size - len(body))
	return body, position, err
}
