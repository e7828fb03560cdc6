package main

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"
)

// operation is one measured step of a worker, such as a request and its
// answer. Workers count from 0.
type operation func(ctx context.Context, worker int) error

// result is the measurement of a load.
type result struct {
	count     int
	took      time.Duration
	latencies []time.Duration // sorted
}

func (r result) perSecond() float64 { return float64(r.count) / r.took.Seconds() }

// add adds another measurement of the same operation.
func (r *result) add(o result) {
	r.count, r.took, r.latencies = r.count+o.count, r.took+o.took, append(r.latencies, o.latencies...)
	slices.Sort(r.latencies)
}

// percentile returns the latency that p percent of the operations do not exceed.
func (r result) percentile(p float64) time.Duration {
	if len(r.latencies) == 0 {
		return 0
	}
	return r.latencies[min(int(p/100*float64(len(r.latencies))), len(r.latencies)-1)]
}

// load runs an operation for a duration in concurrent workers, each of which runs
// one operation after another. It measures every operation and stops at the first
// error.
func load(ctx context.Context, workers int, d time.Duration, op operation) (result, error) {
	ctx, fail := context.WithCancelCause(ctx)
	defer fail(nil)
	each := make([][]time.Duration, workers)
	began := time.Now()
	var running sync.WaitGroup
	for worker := range workers {
		running.Go(func() {
			latencies := make([]time.Duration, 0, 1<<14)
			for now := time.Now(); now.Sub(began) < d && ctx.Err() == nil; {
				if err := op(ctx, worker); err != nil {
					fail(fmt.Errorf("worker %d: %w", worker, err))
					return
				}
				then := time.Now()
				latencies = append(latencies, then.Sub(now))
				now = then
			}
			each[worker] = latencies
		})
	}
	running.Wait()
	r := result{took: time.Since(began), latencies: slices.Concat(each...)}
	r.count = len(r.latencies)
	slices.Sort(r.latencies)
	return r, context.Cause(ctx)
}
