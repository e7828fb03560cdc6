package main

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"lonja/kit/natsembed"
)

// Metrics of the embedded server's syncs with --sync group.
var (
	syncWaiters = prometheus.NewHistogram(prometheus.HistogramOpts{
		Name: "lonja_store_sync_waiters", Help: "How many waited for one sync of a stream, with --sync group.", Buckets: prometheus.ExponentialBuckets(1, 2, 10),
	})
	syncSeconds = prometheus.NewHistogram(prometheus.HistogramOpts{
		Name: "lonja_store_sync_seconds", Help: "Duration of the syncs of a stream that somebody waited for, with --sync group.", Buckets: prometheus.ExponentialBuckets(0.0001, 2, 16),
	})
)

// observeSync counts a sync that somebody waited for.
func observeSync(waiters int, took time.Duration) {
	syncWaiters.Observe(float64(waiters))
	syncSeconds.Observe(took.Seconds())
}

// registerStoreMetrics registers the metrics of the embedded server's store.
func registerStoreMetrics(b *natsembed.Server) {
	if b.SyncsInGroups() {
		metrics.MustRegister(syncWaiters, syncSeconds)
	}
	metrics.MustRegister(
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "lonja_store_failed", Help: "1 while the store accepts no events because its disk is full or has failed, otherwise 0.",
		}, func() float64 {
			if b.Healthy().Err() != nil {
				return 1
			}
			return 0
		}),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "lonja_store_free_bytes", Help: "Free bytes on the store's disk.",
		}, func() float64 {
			free, err := b.FreeBytes()
			if err != nil {
				return 0
			}
			return float64(free)
		}),
	)
}
