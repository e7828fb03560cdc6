package httpapi

import (
	"errors"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
)

type metrics struct {
	requests *prometheus.CounterVec
	duration *prometheus.HistogramVec
	deferred *prometheus.CounterVec
}

func newMetrics(r *prometheus.Registry, namespace string) (*metrics, error) {
	m := &metrics{
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Namespace: namespace, Name: "http_requests_total", Help: "HTTP requests by method, route and status.",
		}, []string{"method", "route", "status"}),
		duration: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Namespace: namespace, Name: "http_request_duration_seconds", Help: "Duration of HTTP requests by method and route, in seconds.",
			Buckets: []float64{.0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30},
		}, []string{"method", "route"}),
		deferred: prometheus.NewCounterVec(prometheus.CounterOpts{
			Namespace: namespace, Name: "commands_deferred_total", Help: "Commands whose service did not answer: deferred (ok) or impossible to defer (refused).",
		}, []string{"outcome"}),
	}
	for _, c := range []prometheus.Collector{m.requests, m.duration, m.deferred} {
		if err := r.Register(c); err != nil {
			return nil, err
		}
	}
	for _, c := range []prometheus.Collector{collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{})} {
		var registered prometheus.AlreadyRegisteredError // by another user of the registry
		if err := r.Register(c); err != nil && !errors.As(err, &registered) {
			return nil, err
		}
	}
	return m, nil
}

// request counts a request by its route's pattern. The path itself would create an
// unlimited number of time series.
func (m *metrics) request(r *http.Request, status int, duration time.Duration) {
	method, path, ok := strings.Cut(r.Pattern, " ")
	if !ok {
		method, path = "other", "other"
	}
	m.requests.WithLabelValues(method, path, label(status)).Inc()
	m.duration.WithLabelValues(method, path).Observe(duration.Seconds())
}

// deferral counts an attempt to defer a command.
func (m *metrics) deferral(err error) {
	outcome := "ok"
	if err != nil {
		outcome = "refused"
	}
	m.deferred.WithLabelValues(outcome).Inc()
}

// label returns the status as a label. 0 means that nothing was written, which is 200.
func label(status int) string {
	if status == 0 {
		return "200"
	}
	return strconv.Itoa(status)
}
