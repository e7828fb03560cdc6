package httpapi

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	"golang.org/x/sync/semaphore"

	"lonja/kit/bus"
	"lonja/kit/errs"
	"lonja/kit/eventlog"
	"lonja/kit/projection"
	"lonja/kit/service"
)

// Query is a query to a service.
type Query interface {
	// QueryName names the service and the query, such as "counters.total".
	QueryName() string
}

const (
	// serviceTimeout bounds one request to a service. It is a little longer than the
	// services' own timeout, so that the client gets the service's error.
	serviceTimeout = 6 * time.Second
	// largeAnswerTimeout bounds a large answer, including the wait for memory.
	largeAnswerTimeout = 20 * time.Second
	// maxLargeAnswers bounds the bytes of all large answers that an API holds at the
	// same time. They count from before the service sends them until the client has
	// them.
	maxLargeAnswers = 2 * service.MaxAnswerSize
)

// identity is who sends a command or query, and the trace it belongs to.
type identity struct {
	actor eventlog.Actor
	trace trace
}

func (w identity) envelope(id string, seen projection.Token) eventlog.Envelope {
	return eventlog.Envelope{ID: id, Actor: w.actor, Correlation: w.trace.correlation, Trace: w.trace.parent, After: seen.String()}
}

// answerMemory is one call's share of the bytes for large answers.
type answerMemory struct {
	budget *semaphore.Weighted
	held   int
}

// release returns n bytes to the budget.
func (m *answerMemory) release(n int) {
	if n > 0 {
		m.held -= n
		m.budget.Release(int64(n))
	}
}

// query sends a query. An answer that is too large for one message is fetched in
// parts; it then holds memory, which the caller releases.
func (s *shared) query(ctx context.Context, q Query, env eventlog.Envelope, memory *answerMemory) (body json.RawMessage, position string, err error) {
	bounded, cancel := context.WithTimeout(ctx, serviceTimeout)
	defer cancel()
	body, position, err = s.Client.QueryAt(bounded, q, env)
	var large *bus.TooLargeError
	if errors.As(err, &large) {
		return s.queryInParts(ctx, q, env, large, memory)
	}
	return body, position, err
}

func (s *shared) queryInParts(ctx context.Context, q Query, env eventlog.Envelope, tooLarge *bus.TooLargeError, memory *answerMemory) (body json.RawMessage, position string, err error) {
	size := tooLarge.Size + tooLarge.Size/4 + 64<<10 // the answer may have grown since
	if tooLarge.Size > service.MaxAnswerSize {
		return nil, "", tooLarge
	}
	ctx, cancel := context.WithTimeout(ctx, largeAnswerTimeout)
	defer cancel()
	size = min(size, service.MaxAnswerSize)
	if memory.budget.Acquire(ctx, int64(size)) != nil {
		return nil, "", errs.New(errs.Unavailable, "too many large answers are being sent at the moment; try again, or ask for less at once")
	}
	memory.held += size
	body, position, err = s.Client.QueryInParts(ctx, q, env, size)
	memory.release(size - len(body))
	return body, position, err
}
