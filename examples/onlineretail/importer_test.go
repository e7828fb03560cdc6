package main

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"

	"lonja/client"
)

func TestInParallel(t *testing.T) {
	var now, most, sum atomic.Int64
	all := make([]int64, 100)
	for i := range all {
		all[i] = int64(i)
	}
	err := inParallel(t.Context(), 4, all, func(_ context.Context, n int64) error {
		if under := now.Add(1); under > most.Load() {
			most.Store(under)
		}
		sum.Add(n)
		now.Add(-1)
		return nil
	})
	if err != nil || sum.Load() != 4950 || most.Load() > 4 {
		t.Errorf("sum %d, at most %d at a time, %v", sum.Load(), most.Load(), err)
	}
	wrong := errors.New("wrong")
	var after atomic.Int64
	err = inParallel(t.Context(), 1, all, func(_ context.Context, n int64) error {
		after.Add(1)
		if n == 2 {
			return wrong
		}
		return nil
	})
	if err != wrong || after.Load() > 4 {
		t.Errorf("%v after %d of 100", err, after.Load())
	}
}

func TestRejection_IsAFinalClientError(t *testing.T) {
	for status, want := range map[int]bool{400: true, 401: false, 403: true, 404: true, 409: true, 422: true, 429: false, 500: false, 503: false} {
		err := fmt.Errorf("POST /: %w", &client.Problem{Status: status})
		if got := rejection(err) != nil; got != want {
			t.Errorf("%d is a refusal: %v; want %v", status, got, want)
		}
	}
	if rejection(errors.New("connection reset")) != nil {
		t.Error("a broken connection is a refusal")
	}
}
