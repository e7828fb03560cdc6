package main

import (
	"github.com/prometheus/client_golang/prometheus"

	"lonja/kit/natsembed"
)

// registerStoreMetrics registers the metrics of the embedded server's store.
func registerStoreMetrics(b *natsembed.Server) {
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
