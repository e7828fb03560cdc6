package main

import (
	"github.com/prometheus/client_golang/prometheus"

	"lonja/kit/natsembed"
)

// measureStore tells Prometheus how the store of the server inside does.
func measureStore(b *natsembed.Server) {
	metrics.MustRegister(
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "lonja_store_failed", Help: "1 while the store takes no events: its disk is full, or has failed.",
		}, func() float64 {
			if b.Healthy().Err() != nil {
				return 1
			}
			return 0
		}),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "lonja_store_free_bytes", Help: "Bytes that are free on the store's disk.",
		}, func() float64 {
			free, err := b.FreeBytes()
			if err != nil {
				return 0
			}
			return float64(free)
		}),
	)
}
