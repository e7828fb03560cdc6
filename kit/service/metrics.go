package service

import (
	"context"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"lonja/kit/errs"
)

// metrics are a service's metrics for Prometheus. Times are in seconds.
type metrics struct {
	commands    *prometheus.HistogramVec
	queries     *prometheus.HistogramVec
	reactions   *prometheus.HistogramVec
	effects     *prometheus.HistogramVec
	deadLetters prometheus.Counter
	rejected    *prometheus.CounterVec
	full        *prometheus.CounterVec
}

// newMetrics creates a service's metrics, and registers them unless the registry is nil.
func newMetrics(s *Service, d *deps) *metrics {
	labels := prometheus.Labels{"service": s.Name, "replica": d.Replica}
	histogram := func(name, help, label string) *prometheus.HistogramVec {
		return prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: name, Help: help, ConstLabels: labels, Buckets: prometheus.ExponentialBuckets(0.00025, 2, 16),
		}, []string{label, "outcome"})
	}
	m := &metrics{
		commands:  histogram(d.Application+"_command_seconds", "Duration of commands, by outcome: ok, replayed or the code of the error.", "command"),
		queries:   histogram(d.Application+"_query_seconds", "Duration of queries, by outcome: ok or the code of the error.", "query"),
		reactions: histogram(d.Application+"_reaction_seconds", "Duration of reactions, by outcome: ok or the code of the error.", "consumer"),
		effects:   histogram(d.Application+"_effect_seconds", "Duration of calls of something outside, by outcome: ok or the code of the error.", "effect"),
		deadLetters: prometheus.NewCounter(prometheus.CounterOpts{
			Name: d.Application + "_dead_letters_total", Help: "Messages that could not be handled and became dead letters.", ConstLabels: labels,
		}),
		rejected: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: d.Application + "_foreign_messages_total", Help: "Messages on an endpoint that were rejected because they were not sent there as a request.", ConstLabels: labels,
		}, []string{"endpoint"}),
		full: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: d.Application + "_stream_full_total", Help: "Dead letters and outcomes of deferred commands that were not stored because the stream is full, by stream.", ConstLabels: labels,
		}, []string{"stream"}),
	}
	failing := prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: d.Application + "_log_failing", Help: "1 while no events can be recorded.", ConstLabels: labels,
	}, func() float64 {
		if d.log.Outage() != nil {
			return 1
		}
		return 0
	})
	if d.Metrics != nil {
		for _, c := range []prometheus.Collector{m.commands, m.queries, m.reactions, m.effects, m.deadLetters, m.rejected, m.full, failing, newViewCollector(d, labels), newIntakeCollector(d, labels), newTimerCollector(d, labels)} {
			// A service that is started again replaces the metrics of its previous run.
			d.Metrics.Unregister(c)
			d.Metrics.MustRegister(c)
		}
	}
	return m
}

// observe records the duration and outcome of work that began at a time.
func observe(h *prometheus.HistogramVec, name string, began time.Time, replayed bool, err error) {
	outcome := "ok"
	if err != nil {
		outcome = string(errs.Internal)
		if r, ok := errs.As(err); ok {
			outcome = string(r.Code)
		}
	} else if replayed {
		outcome = "replayed"
	}
	h.WithLabelValues(name, outcome).Observe(time.Since(began).Seconds())
}

// viewCollector reads the state of the views whenever metrics are collected.
type viewCollector struct {
	service *Service
	lag     *prometheus.Desc
	failed  *prometheus.Desc
	stalled *prometheus.Desc
	waiting *prometheus.Desc
}

func newViewCollector(d *deps, labels prometheus.Labels) *viewCollector {
	return &viewCollector{
		service: d.service,
		lag:     prometheus.NewDesc(d.Application+"_view_lag", "How many events a view is behind a stream.", []string{"view", "stream"}, labels),
		failed:  prometheus.NewDesc(d.Application+"_view_failed", "1 when a view has stopped and must be repaired.", []string{"view"}, labels),
		stalled: prometheus.NewDesc(d.Application+"_view_standing_still", "How many streams a view gets no events from although there are more.", []string{"view"}, labels),
		waiting: prometheus.NewDesc(d.Application+"_consumers_standing_still", "How many shared consumers make no progress although messages are pending.", nil, labels),
	}
}

// Describe implements prometheus.Collector.
func (c *viewCollector) Describe(ch chan<- *prometheus.Desc) {
	ch <- c.lag
	ch <- c.failed
	ch <- c.stalled
	ch <- c.waiting
}

// Collect implements prometheus.Collector.
func (c *viewCollector) Collect(ch chan<- prometheus.Metric) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	if d := c.service.running.Load(); d != nil {
		ch <- prometheus.MustNewConstMetric(c.waiting, prometheus.GaugeValue, float64(len(d.stalled())))
	}
	for _, v := range c.service.Views {
		failed := 0.0
		if v.Failed() != nil {
			failed = 1
		}
		ch <- prometheus.MustNewConstMetric(c.failed, prometheus.GaugeValue, failed, v.Name())
		ch <- prometheus.MustNewConstMetric(c.stalled, prometheus.GaugeValue, float64(len(v.Stalled())), v.Name())
		lag, err := v.Lag(ctx)
		if err != nil {
			continue // the lag is unknown, so there is no value
		}
		for stream, n := range lag {
			ch <- prometheus.MustNewConstMetric(c.lag, prometheus.GaugeValue, float64(n), v.Name(), stream)
		}
	}
}

// timerCollector reads how late the timers are whenever metrics are collected.
type timerCollector struct {
	service *Service
	late    *prometheus.Desc
}

func newTimerCollector(d *deps, labels prometheus.Labels) *timerCollector {
	return &timerCollector{d.service, prometheus.NewDesc(d.Application+"_timer_late_seconds",
		"For how long the first event has been due that a timer has neither handled nor given up.", []string{"timer"}, labels)}
}

// Describe implements prometheus.Collector.
func (c *timerCollector) Describe(ch chan<- *prometheus.Desc) { ch <- c.late }

// Collect implements prometheus.Collector.
func (c *timerCollector) Collect(ch chan<- prometheus.Metric) {
	d := c.service.running.Load()
	if d == nil {
		return
	}
	for name, clock := range d.clocks {
		ch <- prometheus.MustNewConstMetric(c.late, prometheus.GaugeValue, clock.lateness().Seconds(), name)
	}
}
