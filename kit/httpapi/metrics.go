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

type measures struct {
	requests *prometheus.CounterVec
	duration *prometheus.HistogramVec
	deferred *prometheus.CounterVec
}

func newMeasures(r *prometheus.Registry, namespace string) (*measures, error) {
	m := &measures{
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Namespace: namespace, Name: "http_requests_total", Help: "Requests answered, by method, route and status.",
		}, []string{"method", "route", "status"}),
		duration: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Namespace: namespace, Name: "http_request_duration_seconds", Help: "How long requests took, by method and route.",
			Buckets: []float64{.0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30},
		}, []string{"method", "route"}),
		deferred: prometheus.NewCounterVec(prometheus.CounterOpts{
			Namespace: namespace, Name: "commands_deferred_total", Help: "Commands whose service did not answer, by whether they were left for it (ok) or could not be (refused).",
		}, []string{"outcome"}),
	}
	for _, c := range []prometheus.Collector{m.requests, m.duration, m.deferred} {
		if err := r.Register(c); err != nil {
			return nil, err
		}
	}
	for _, c := range []prometheus.Collector{collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{})} {
		var there prometheus.AlreadyRegisteredError // by whoever else uses the registry
		if err := r.Register(c); err != nil && !errors.As(err, &there) {
			return nil, err
		}
	}
	return m, nil
}

// request counts a request under its route's template, never under its path,
// of which there are endlessly many.
func (m *measures) request(r *http.Request, status int, took time.Duration) {
	method, path, ok := strings.Cut(r.Pattern, " ")
	if !ok {
		method, path = "other", "other"
	}
	m.requests.WithLabelValues(method, path, label(status)).Inc()
	m.duration.WithLabelValues(method, path).Observe(took.Seconds())
}

// left counts a command that was to be left for later.
func (m *measures) left(err error) {
	outcome := "ok"
	if err != nil {
		outcome = "refused"
	}
	m.deferred.WithLabelValues(outcome).Inc()
}

// label is a status as metrics have it; nothing written means 200.
func label(status int) string {
	if status == 0 {
		return "200"
	}
	return strconv.Itoa(status)
}
