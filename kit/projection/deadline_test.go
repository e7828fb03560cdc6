package projection_test

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"testing"
	"time"

	"lonja/kit/errs"
	"lonja/kit/kittest"
	"lonja/kit/projection"
)

// endless is a query that runs for hours.
const endless = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 1000000000000) SELECT max(i) FROM n"

// TestView_EndsLongQueries runs more queries than there are connections. All end, and each
// connection answers afterwards.
func TestView_EndsLongQueries(t *testing.T) {
	log := kittest.New(t)
	v := projection.New(totals)
	err := v.Open(t.Context(), projection.Config{JetStream: log.JS, Log: log.Log, Dir: t.TempDir(), Consumer: consumerPrefix,
		Logger: slog.New(slog.DiscardHandler), QueryTime: 50 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	defer v.Close()
	var n int
	none := func(func(...any) error) error { return nil }
	for name, query := range map[string]func(context.Context) error{
		"Get":  func(ctx context.Context) error { _, err := v.Get(ctx, endless, nil, &n); return err },
		"Each": func(ctx context.Context) error { return v.Each(ctx, endless, nil, none) },
	} {
		if err := query(context.Background()); !errs.Is(err, errs.Unavailable) {
			t.Errorf("%s without a deadline: %v", name, err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(10*time.Millisecond, cancel)
		if err := query(ctx); !errors.Is(err, context.Canceled) {
			t.Errorf("%s, cancelled: %v", name, err)
		}
		ctx, cancel = context.WithTimeout(t.Context(), 10*time.Millisecond)
		if err := query(ctx); !errs.Is(err, errs.Unavailable) {
			t.Errorf("%s at its deadline: %v", name, err)
		}
		cancel()
	}
	var running sync.WaitGroup
	for range 20 {
		running.Go(func() { _, _ = v.Get(t.Context(), endless, nil, new(int)) })
	}
	running.Wait()
	for range 20 {
		running.Go(func() {
			var n int
			if found, err := v.Get(t.Context(), "SELECT 3", nil, &n); !found || err != nil || n != 3 {
				t.Error(found, n, err)
			}
		})
	}
	running.Wait()
}
